import { describe, expect, it } from 'vitest';
import { encodeFrame } from '../../../../shared/protocol/frame.js';
import { encodeHeartbeat, heartbeatIn } from '../../../../shared/protocol/heartbeats/messages.js';
import { parseCoordinatorMessage, parseWorkerMessage } from '../../../../shared/protocol/messages.js';

const heartbeat = { type: 'heartbeat', sentMs: 1234.5 } as const;
const reply = { type: 'heartbeat-reply', sentMs: -1, repliedMs: 1e15 + 0.5 } as const;

describe('a heartbeat message', () => {
  it.each([heartbeat, reply])('$type is recognized, and its header is valid in both directions', (message) => {
    expect(heartbeatIn(encodeHeartbeat(message))).toEqual(message);
    expect(parseWorkerMessage(message)).toEqual(message);
    expect(parseCoordinatorMessage(message)).toEqual(message);
  });

  it('may have its fields in another order', () => {
    const { type, sentMs, repliedMs } = reply;
    expect(heartbeatIn(encodeFrame({ repliedMs, sentMs, type }))).toEqual(reply);
  });

  it.each<[string, Uint8Array]>([
    ['another type', encodeFrame({ ...heartbeat, type: 'heart' })],
    ['a reply without the time of the reply', encodeFrame({ ...heartbeat, type: 'heartbeat-reply' })],
    ['no time', encodeFrame({ type: 'heartbeat' })],
    ['a time that is text', encodeFrame({ ...heartbeat, sentMs: '5' })],
    ['a time that is not finite', encodeFrame({ ...heartbeat, sentMs: Infinity })],
    ['a reply time that is not a number', encodeFrame({ ...reply, repliedMs: NaN })],
    ['an unknown field', encodeFrame({ ...heartbeat, mood: 'good' })],
    ['an unknown field in a reply', encodeFrame({ ...reply, mood: 'good' })],
    ['a payload', encodeFrame(heartbeat, new Uint8Array(8))],
    ['a list as its header', encodeFrame(['heartbeat', 5])],
    ['another message', encodeFrame({ type: 'prefetch', sha256: 'a'.repeat(64) })],
    ['a truncated frame', encodeHeartbeat(heartbeat).subarray(0, 12)],
    ['no bytes', new Uint8Array(0)],
  ])('is not recognized in %s', (_, message) => {
    expect(heartbeatIn(message)).toBeUndefined();
  });
});

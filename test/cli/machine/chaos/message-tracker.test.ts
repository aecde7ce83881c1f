import { describe, expect, it } from 'vitest';
import { MessageTracker } from '../../../../cli/machine/chaos/message-tracker.js';
import { encodeFrame } from '../../../../shared/protocol/frame.js';
import { parseWorkerMessage, type WorkerMessage } from '../../../../shared/protocol/messages.js';

const upgrade = Buffer.from('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n');

/** Returns a WebSocket frame (RFC 6455). */
function webSocketFrame(payload: Uint8Array, options: { opcode?: number; mask?: readonly number[] } = {}): Buffer {
  const { opcode = 2, mask } = options;
  const length =
    payload.length < 126
      ? Buffer.of(payload.length)
      : payload.length < 2 ** 16
        ? Buffer.of(126, payload.length >> 8, payload.length & 255)
        : Buffer.of(127, 0, 0, 0, 0, 0, payload.length >> 16, (payload.length >> 8) & 255, payload.length & 255);
  if (mask !== undefined) length[0] |= 0x80;
  const masked = payload.map((byte, index) => byte ^ (mask?.[index % 4] ?? 0));
  return Buffer.concat([Buffer.of(0x80 | opcode), length, Buffer.from(mask ?? []), masked]);
}

const evaluation: WorkerMessage = {
  type: 'evaluation',
  step: 3,
  split: 'test',
  index: 1,
  sampleCount: 2,
  lossSum: 0.5,
  correctCount: 1,
  topFiveCount: 1,
};
const request: WorkerMessage = { type: 'shard-request', sha256: 'ab'.repeat(32), offset: 0, bytes: 1 };

/**
 * Finds the tracked points of all messages in a stream that arrives in chunks.
 * @returns the points with their offsets
 */
function pointsIn(stream: Buffer, chunkBytes: number) {
  const tracker = new MessageTracker(parseWorkerMessage);
  const points: [string, string, number][] = [];
  for (let first = 0; first < stream.length; first += chunkBytes) {
    for (const { point, message, offset } of tracker.track(stream.subarray(first, first + chunkBytes))) {
      points.push([message.type, point, first + offset]);
    }
  }
  return points;
}

describe('MessageTracker', () => {
  it.each([1, 7, 64, 100_000])('finds the same points in chunks of %i bytes', (chunkBytes) => {
    const small = encodeFrame(request);
    // A payload of 70,000 bytes needs the longest encoding of the frame length (8 bytes).
    const large = encodeFrame(evaluation, new Uint8Array(70_000).fill(0x0d));
    const frames = [
      webSocketFrame(small, { mask: [1, 2, 3, 4] }),
      webSocketFrame(new Uint8Array(2), { opcode: 9 }),
      webSocketFrame(large, { mask: [0, 0, 0, 0] }),
    ];
    const ends = frames.map((_, index) =>
      frames.slice(0, index + 1).reduce((sum, frame) => sum + frame.length, upgrade.length),
    );
    const header = large.length - 70_000;
    expect(pointsIn(Buffer.concat([upgrade, ...frames]), chunkBytes)).toEqual([
      // Without a payload, the header is complete only at the end of the message.
      ['shard-request', 'head', ends[0]],
      ['shard-request', 'middle', ends[0]],
      ['shard-request', 'end', ends[0]],
      ['evaluation', 'head', ends[2] - large.length + header],
      ['evaluation', 'middle', ends[2] - large.length + (large.length >> 1)],
      ['evaluation', 'end', ends[2]],
    ]);
  });

  it('parses unmasked frames and two-byte lengths', () => {
    const message = encodeFrame(evaluation, new Uint8Array(300));
    expect(pointsIn(Buffer.concat([upgrade, webSocketFrame(message)]), 50).map(([, point]) => point)).toEqual([
      'head',
      'middle',
      'end',
    ]);
  });

  it('throws for an unknown message', () => {
    const stream = Buffer.concat([upgrade, webSocketFrame(encodeFrame({ type: 'song' }))]);
    expect(() => pointsIn(stream, 1000)).toThrow(/song/);
  });
});

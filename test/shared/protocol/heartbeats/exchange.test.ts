import { describe, expect, it } from 'vitest';
import { encodeFrame } from '../../../../shared/protocol/frame.js';
import { HeartbeatExchange } from '../../../../shared/protocol/heartbeats/exchange.js';
import { encodeHeartbeat, heartbeatIn } from '../../../../shared/protocol/heartbeats/messages.js';
import { FakeClock } from '../../../support/fake-clock.js';

const options = { intervalMs: 2_000, timeoutMs: 10_000 };

/** Returns one side of a connection: the clock runs at the given offset from the time in its messages. */
function side(aheadMs = 0) {
  const clock = new FakeClock();
  const sent: unknown[] = [];
  const replies: unknown[] = [];
  const silences: number[] = [];
  const queue = { bytes: 0 };
  const exchange = new HeartbeatExchange(
    {
      send: (frame) => sent.push(heartbeatIn(frame)),
      queuedBytes: () => queue.bytes,
      onSilent: (timeoutMs) => silences.push(timeoutMs),
      onReply: (reply) => replies.push(reply),
    },
    clock,
    () => clock.now() + aheadMs,
  );
  return { clock, sent, replies, silences, queue, exchange };
}

/** Advances the clock, and waits for the monitor, which looks again before it reports silence. */
async function pass(clock: FakeClock, ms: number): Promise<void> {
  clock.advance(ms);
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}

describe('an exchange of heartbeats', () => {
  it('sends a heartbeat with the time at each interval, until it is stopped', () => {
    const { clock, sent, exchange } = side(100);
    clock.advance(5_000);
    expect(sent).toEqual([]);
    exchange.start(options);
    clock.advance(4_500);
    exchange.stop();
    clock.advance(10_000);
    // Started at 5,000 ms, which its messages call 5,100.
    expect(sent).toEqual([
      { type: 'heartbeat', sentMs: 7_100 },
      { type: 'heartbeat', sentMs: 9_100 },
    ]);
    expect(clock.running).toBe(0);
  });

  it('answers a heartbeat with the times of both sides, even before it has started', () => {
    const { clock, sent, exchange } = side(100);
    clock.advance(50);
    expect(exchange.receive(encodeHeartbeat({ type: 'heartbeat', sentMs: 7 }))).toBe(true);
    expect(sent).toEqual([{ type: 'heartbeat-reply', sentMs: 7, repliedMs: 150 }]);
  });

  it('passes on replies, and answers none', () => {
    const { sent, replies, exchange } = side();
    const reply = { type: 'heartbeat-reply', sentMs: 7, repliedMs: 8 } as const;
    expect(exchange.receive(encodeHeartbeat(reply))).toBe(true);
    expect([replies, sent]).toEqual([[reply], []]);
  });

  it('leaves all other messages, and invalid heartbeats, to its user', () => {
    const { sent, exchange } = side();
    expect(exchange.receive(encodeFrame({ type: 'weights', step: 0 }, new Uint8Array(1000)))).toBe(false);
    expect(exchange.receive(encodeFrame({ type: 'heartbeat', sentMs: 1, mood: 'good' }))).toBe(false);
    expect(sent).toEqual([]);
  });

  it('sends nothing while more than 64 KiB wait to be sent', () => {
    const { clock, sent, queue, exchange } = side();
    exchange.start(options);
    queue.bytes = 64 * 1024 + 1;
    exchange.receive(encodeHeartbeat({ type: 'heartbeat', sentMs: 7 }));
    clock.advance(2_000);
    expect(sent).toEqual([]);
    queue.bytes--;
    clock.advance(2_000);
    expect(sent).toEqual([{ type: 'heartbeat', sentMs: 4_000 }]);
  });

  it('reports silence once the timeout has passed since the last data or message', async () => {
    const { clock, silences, exchange } = side();
    exchange.start(options);
    await pass(clock, 9_000);
    exchange.heard();
    await pass(clock, 9_000);
    exchange.receive(encodeFrame({ type: 'weights', step: 0 }));
    await pass(clock, 10_000);
    expect([silences, exchange.silentMs]).toEqual([[], 10_000]);
    await pass(clock, 2_000);
    expect(silences).toEqual([10_000]);
  });

  it('detects silence before it starts, with a timeout that the start replaces', async () => {
    const { clock, sent, silences, exchange } = side();
    exchange.detectSilence(3_000);
    await pass(clock, 2_000);
    exchange.start(options);
    await pass(clock, 9_000);
    expect(silences).toEqual([]);
    expect(sent).toHaveLength(4);
    await pass(clock, 3_000);
    expect(silences).toEqual([10_000]);
  });
});

import { EventEmitter } from 'node:events';
import { PassThrough } from 'node:stream';
import type { WebSocket } from 'ws';
import { describe, expect, it, vi } from 'vitest';
import type { ConnectionHandlers } from '../../../coordinator/connections/connection-handlers.js';
import type { StepWeights } from '../../../coordinator/connections/step-weights.js';
import { WorkerConnection } from '../../../coordinator/connections/worker-connection.js';
import { decodeFrame, encodeFrame } from '../../../shared/protocol/frame.js';
import { encodeHeartbeat } from '../../../shared/protocol/heartbeats/messages.js';
import { chunkBytes, protocolVersion, type WorkerMessage } from '../../../shared/protocol/messages.js';
import { FakeClock } from '../../support/fake-clock.js';

const sha256 = 'a'.repeat(64);
const weightsFrame = encodeFrame({ type: 'weights', step: 3 }, new Uint8Array(8));
const weights: StepWeights = {
  step: 3,
  trainingKind: 'own',
  sumEncoding: 'float32',
  gradientScales: undefined,
  frameFor: () => ({ message: weightsFrame, pendingSends: 0 }),
};

/** A connection whose socket is a script: frames wait in it until the test lets them pass. */
function connect() {
  const waiting: { type: string; sent: () => void }[] = [];
  const socket = Object.assign(new EventEmitter(), {
    bufferedAmount: 0,
    send(frame: Uint8Array, onSent?: () => void) {
      const { type } = decodeFrame(frame).header as { type: string };
      waiting.push({ type, sent: () => onSent?.() });
    },
    close: vi.fn<(code: number) => void>(),
    terminate: vi.fn<() => void>(),
  });
  const handlers = {
    onAnswer: vi.fn<ConnectionHandlers['onAnswer']>(),
    onProbed: vi.fn<() => void>(),
    onMeasured: vi.fn<ConnectionHandlers['onMeasured']>(),
    onTiming: vi.fn<ConnectionHandlers['onTiming']>(),
    onClockSample: vi.fn<ConnectionHandlers['onClockSample']>(),
    onShardHeld: vi.fn<ConnectionHandlers['onShardHeld']>(),
    onHandled: vi.fn<ConnectionHandlers['onHandled']>(),
    onClosed: vi.fn<ConnectionHandlers['onClosed']>(),
    onRelayed: vi.fn<ConnectionHandlers['onRelayed']>(),
    onRelayedLeft: vi.fn<ConnectionHandlers['onRelayedLeft']>(),
    onRelayedUnable: vi.fn<ConnectionHandlers['onRelayedUnable']>(),
  };
  const hello = {
    type: 'hello' as const,
    protocolVersion,
    lockstepVersion: '0',
    token: '',
    name: 'attic',
    engines: [{ engine: 'fake', fingerprint: 'fake/1', device: 'none' }],
    cachedShards: [],
  };
  const clock = new FakeClock();
  const connection = new WorkerConnection(
    () => 1,
    {
      socket: socket as unknown as WebSocket,
      transport: new PassThrough(),
      hello,
      address: '127.0.0.1:1',
      gatherInto: () => undefined,
      failed: () => undefined,
    },
    {
      shardRecords: new Map([[sha256, new Uint8Array(10 * chunkBytes)]]),
      imagesPerSlice: () => 1,
      heartbeatIntervalMs: 1000,
      heartbeatTimeoutMs: 10_000,
      clock,
    },
    handlers,
  );
  const receive = (message: WorkerMessage) => socket.emit('message', encodeFrame(message));
  /** Lets the first waiting frame pass. @returns its type */
  const pass = () => {
    const first = waiting.shift();
    first?.sent();
    return first?.type;
  };
  return { connection, socket, handlers, clock, receive, pass };
}

describe('the connection of a worker', () => {
  it('sends weights and requests before the rest of a shard that it is sending', () => {
    const { connection, receive, pass } = connect();
    receive({ type: 'shard-request', sha256, offset: 0, bytes: 10 * chunkBytes });
    expect(pass()).toBe('shard-chunk');
    connection.compute(weights, [{ first: 0, count: 1 }]);
    // One chunk is on its way already.
    expect([pass(), pass(), pass()]).toEqual(['shard-chunk', 'weights', 'compute']);
    expect(Array.from({ length: 9 }, pass)).toEqual([...Array.from({ length: 8 }, () => 'shard-chunk'), undefined]);
  });

  it('keeps a worker busy until it has answered or stopped, and tells it only once to stop', () => {
    const { connection, receive, pass } = connect();
    connection.compute(weights, [
      { first: 0, count: 1 },
      { first: 1, count: 1 },
    ]);
    connection.cancel(3);
    connection.cancel(3);
    expect([pass(), pass(), pass(), pass()]).toEqual(['weights', 'compute', 'cancel', undefined]);
    expect(connection.load.isBusy).toBe(true);
    receive({ type: 'cancelled', step: 3 });
    expect(connection.load.isBusy).toBe(false);
  });

  it('rejects a worker that stops without having been told', () => {
    const { connection, socket, receive } = connect();
    connection.compute(weights, [{ first: 0, count: 1 }]);
    receive({ type: 'cancelled', step: 3 });
    expect(socket.close).toHaveBeenCalledOnce();
  });

  it('passes on the time of a heartbeat reply only if it was asked to sample the clock', () => {
    const { connection, socket, handlers } = connect();
    const reply = () => socket.emit('message', encodeHeartbeat({ type: 'heartbeat-reply', sentMs: 5, repliedMs: 70 }));
    reply();
    expect(handlers.onClockSample).not.toHaveBeenCalled();
    connection.sampleClock();
    reply();
    reply();
    expect(handlers.onClockSample.mock.calls).toEqual([[connection, { sentMs: 5, repliedMs: 70, returnedMs: 0 }]]);
  });
});

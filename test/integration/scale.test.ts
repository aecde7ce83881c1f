// Many workers behind several relays compute the bits of one worker, and a worker that stops reading costs little memory.
import { EventEmitter, once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { startRelay, type RelayAddress } from '../../relay/main.js';
import { decodeFrame, encodeFrame } from '../../shared/protocol/frame.js';
import {
  parseCoordinatorMessage,
  protocolVersion,
  type CoordinatorMessage,
  type Hello,
  type Welcome,
} from '../../shared/protocol/messages.js';
import { startWorker, type Worker, type WorkerOptions } from '../../worker/main.js';
import { FakeClock } from '../support/fake-clock.js';
import { fakeEngine } from '../support/fake-engine.js';
import { hashWith, startCluster, type Cluster } from '../support/local-cluster.js';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function clusterOf(...options: Parameters<typeof startCluster>): Promise<Cluster> {
  const cluster = await startCluster(...options);
  closing.push(() => cluster.close());
  return cluster;
}

/** Starts a relay, and waits until workers can join it. @returns its URL */
async function relayTo(url: string, clock?: FakeClock): Promise<string> {
  const relay = await startRelay({ url, port: 0, cache: null, clock });
  closing.push(() => {
    relay.stop('the test has ended');
    return relay.done;
  });
  const [address] = (await once(relay.events, 'listening')) as [RelayAddress];
  return address.url;
}

async function joinTo(url: string, options: Partial<WorkerOptions> = {}): Promise<Worker> {
  const engine = fakeEngine();
  const worker = await startWorker({ url, engine, cache: null, connectionThread: false, ...options });
  closing.push(() => {
    worker.stop('the test has ended');
    return worker.done;
  });
  return worker;
}

it.each(['float32', 'int8'] as const)(
  '50 workers compute the weights of a single one in %s, behind four relays and directly',
  async (encoding) => {
    const options = { encoding, batchSize: 64, slices: 64, steps: 4 };
    const expected = await hashWith(1, options);
    for (const relayCount of [0, 4]) {
      const { coordinator } = await clusterOf({ ...options, minWorkers: 50 });
      const relays = Array.from({ length: relayCount }, () => relayTo(coordinator.url));
      const urls = relayCount === 0 ? [coordinator.url] : await Promise.all(relays);
      for (let worker = 0; worker < 50; worker++) await joinTo(urls[worker % urls.length]);
      expect(await coordinator.report).toMatchObject({
        weightsSha256: expected,
        workersJoined: 50,
        workersLost: 0,
        slicesReassigned: 0,
      });
    }
  },
);

describe('a worker that stops reading', () => {
  const slices = 16;
  const options = { slices, steps: 40, heartbeatInterval: 10_000, heartbeatTimeout: 100_000 };
  /** Number of slices after which the other worker waits: it computes alone before, and again almost to the end. */
  const [slicesBefore, slicesAfter] = [10 * slices, 38 * slices];

  /** Joins a run as a worker that holds all shards, and stops reading once it has been sent work. */
  async function joinAndStall(url: string) {
    const socket = new WebSocket(`${url}/worker`);
    closing.push(() => socket.terminate());
    await once(socket, 'open');
    const engines = [{ engine: 'fake', fingerprint: 'fake/1', device: 'a fake device' }];
    const versions = { protocolVersion, lockstepVersion: '0' };
    const hello: Hello = { type: 'hello', ...versions, token: '', name: 'stalled', engines, cachedShards: [] };
    socket.send(encodeFrame(hello));
    const received = (type: string) =>
      new Promise<CoordinatorMessage>((resolve) => {
        socket.on('message', (data: Buffer) => {
          const message = parseCoordinatorMessage(decodeFrame(data).header);
          if (message.type === type) resolve(message);
        });
      });
    const stalled = received('compute').then(() => socket.pause());
    const { shards } = (await received('welcome')) as Welcome;
    for (const { sha256 } of shards) socket.send(encodeFrame({ type: 'shard-held', sha256 }));
    return { stalled, leave: () => socket.terminate() };
  }

  /** Returns the bytes that the stalled worker has been sent, some of which may still be in memory. */
  async function bytesSentBy(url: string): Promise<number> {
    const response = await fetch(`${url.replace('ws:', 'http:')}/status`);
    const { workers } = (await response.json()) as { workers: { name: string; bytesSent: number }[] };
    return workers.find(({ name }) => name === 'stalled')!.bytesSent;
  }

  it.each([
    ['the coordinator', false],
    ['a relay', true],
  ])('is sent nothing more by %s', async (_, isBehindRelay) => {
    const clock = new FakeClock();
    const { coordinator } = await clusterOf({ ...options, clock });
    const url = isBehindRelay ? await relayTo(coordinator.url, clock) : coordinator.url;
    const pauses = new EventEmitter();
    const [pausedBefore, pausedAtEnd] = [once(pauses, 'before'), once(pauses, 'at-end')];
    let computed = 0;
    const engine = fakeEngine({
      async beforeSlice() {
        computed++;
        const pause = computed === slicesBefore ? 'before' : computed === slicesAfter ? 'at-end' : undefined;
        if (pause === undefined) return;
        const continued = once(pauses, 'continue');
        pauses.emit(pause);
        await continued;
      },
    });
    const worker = await joinTo(url, { engine, clock });
    await pausedBefore;
    const { stalled, leave } = await joinAndStall(url);
    pauses.emit('continue');
    await stalled;
    const bytesWhenStalled = await bytesSentBy(url);
    // All slices so far took no time by this clock, so 100 ms after its start a slice is late.
    worker.events.on('progress', () => clock.advance(1000));
    clock.advance(1000);
    await pausedAtEnd;
    expect(await bytesSentBy(url)).toBe(bytesWhenStalled);
    leave();
    pauses.emit('continue');
    expect((await coordinator.report).weightsSha256).toBe(await hashWith(1, options));
  });
});

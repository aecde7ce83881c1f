// A worker with a hostile coordinator: the worker closes the connection with a clear reason, allocates no memory for
// announced data that has not arrived, writes only shards to its cache, and then computes for a correct coordinator.
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cifar10Format } from '../../shared/dataset/cifar10-layout.js';
import { systemClock } from '../../shared/clock.js';
import { decodeFrame } from '../../shared/protocol/frame.js';
import { parseWorkerMessage } from '../../shared/protocol/messages.js';
import { startWorker } from '../../worker/main.js';
import { fakeEngine } from '../support/fake-engine.js';
import { afterWelcome, attacks, configured, oneGiB, welcoming } from '../support/hostile-coordinators.js';
import {
  shards,
  startScriptedCoordinator,
  shardImages,
  type Peer,
  type Script,
} from '../support/scripted-coordinator.js';
import { temporaryFolder } from '../support/temporary-folder.js';

const { recordBytes } = cifar10Format;

const maxGrowthBytes = 64 * 1024 * 1024;
const firstShard = shards[0];

const unhandled: unknown[] = [];
const keep = (reason: unknown) => unhandled.push(reason);
beforeAll(() => void process.on('unhandledRejection', keep));
afterAll(() => void process.off('unhandledRejection', keep));

/** Returns the memory used by objects and buffers, including buffers that were allocated but not written. */
function bytesInUse(): number {
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/**
 * Runs a worker whose first coordinator is hostile and whose second one is correct. The worker's cache is in a folder
 * with other files.
 * @param close awaited before the hostile coordinator closes the connection; if omitted, the connection stays open
 */
async function attack(script: Script, close?: (peer: Peer) => Promise<void>, connectionThread = false) {
  const folder = await temporaryFolder();
  const home = path.join(folder, 'a', 'b');
  await mkdir(path.join(home, 'cache'), { recursive: true });
  await writeFile(path.join(folder, 'x'), "not the worker's");
  const namesBefore = await readdir(folder, { recursive: true });
  const memoryBefore = bytesInUse();
  let images = 0;
  let fail!: (error: unknown) => void;
  let finish!: () => void;
  const finished = new Promise<void>((resolve, reject) => {
    finish = resolve;
    fail = reject;
  });
  const hostile = async (peer: Peer) => {
    await script(peer);
    if (close === undefined) return;
    await close(peer);
    peer.socket.close();
  };
  const correct = async (peer: Peer) => {
    images = await peer.runStep();
    finish();
  };
  const coordinator = await startScriptedCoordinator([hostile, correct], fail);
  const worker = await startWorker({
    url: coordinator.url,
    engine: fakeEngine(),
    cache: path.join(home, 'cache'),
    connectionThread,
    // Delays below a second are skipped so that the worker reconnects immediately. Longer timeouts are unchanged.
    clock: { ...systemClock, after: (delayMs, callback) => systemClock.after(delayMs < 1000 ? 0 : delayMs, callback) },
  });
  const reasons: string[] = [];
  let wasAdmitted = false;
  worker.events.on('joined', () => (wasAdmitted ||= reasons.length === 0));
  let memoryGrowth = 0;
  worker.events.on('reconnecting', ({ reason }) => {
    memoryGrowth = bytesInUse() - memoryBefore;
    reasons.push(reason);
  });
  try {
    await Promise.race([finished, worker.done]);
  } finally {
    worker.stop('the test has ended');
    await worker.done.catch(() => undefined);
    await coordinator.close();
  }
  const namesAfter = await readdir(folder, { recursive: true });
  expect(await readFile(path.join(folder, 'x'), 'utf8')).toBe("not the worker's");
  const written = namesAfter.filter((name) => !namesBefore.includes(name));
  return { reasons, images, written, memoryGrowth, wasAdmitted };
}

function expectUnharmed({ images, written, memoryGrowth }: Awaited<ReturnType<typeof attack>>): void {
  expect(images).toBe(4);
  expect(written.filter((name) => !/^a\/b\/cache\/[0-9a-f]{64}\.bin$/.test(name))).toEqual([]);
  expect(memoryGrowth).toBeLessThan(maxGrowthBytes);
  expect(unhandled).toEqual([]);
  expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
}

describe('a worker disconnects from a hostile coordinator, and computes for a correct one next, after', () => {
  it.each(attacks)('%s', async (_, reason, script) => {
    const end = await attack(script);
    expect(end.reasons).toEqual([expect.stringMatching(reason)]);
    expectUnharmed(end);
  });
});

it('a worker reads nothing after an invalid message, not even a correct welcome', async () => {
  const end = await attack((peer) => {
    for (const batchSize of [-4, 4]) void configured({ batchSize })(peer);
  });
  expect(end.reasons).toEqual([expect.stringContaining('config.batchSize')]);
  expect(end.wasAdmitted).toBe(false);
  expectUnharmed(end);
});

describe('a worker whose connection runs in a separate thread also disconnects, and computes next, after', () => {
  it.each([
    'endless chunks',
    'endless requests',
    'a WebSocket frame longer than any message',
    'bytes that are not WebSocket frames',
  ])('%s', async (name) => {
    const [, reason, script] = attacks.find(([other]) => other === name)!;
    const end = await attack(script, undefined, true);
    expect(end.reasons).toEqual([expect.stringMatching(reason)]);
    expectUnharmed(end);
  });
});

describe('a worker stays connected, unharmed, when a coordinator', () => {
  it('uses a path as the id of its run', async () => {
    const end = await attack(welcoming({ runId: '../../x' }), (peer) => {
      peer.sayWeights();
      peer.say({ type: 'prefetch', sha256: firstShard.sha256 });
      return peer.hear('shard-request').then(() => undefined);
    });
    expect(end.reasons).toEqual(['connection closed (1005)']);
    expectUnharmed(end);
  });

  it('announces a shard of 1 GiB, which takes no memory before it arrives', async () => {
    const bytes = Math.floor(oneGiB / recordBytes) * recordBytes;
    const huge = shards.map((shard) => ({ ...shard, bytes }));
    let growth = 0;
    const end = await attack(welcoming({ shards: huge }), async (peer) => {
      const before = bytesInUse();
      for (const { sha256 } of huge) {
        peer.say({ type: 'prefetch', sha256 });
        await peer.hear('shard-request');
        peer.say({ type: 'shard-chunk', sha256, offset: 0 }, shardImages[0].subarray(0, 100));
      }
      peer.socket.ping();
      await new Promise((resolve) => peer.socket.once('pong', resolve));
      growth = bytesInUse() - before;
    });
    expect(end.reasons).toEqual(['connection closed (1005)']);
    expect(growth).toBeLessThan(maxGrowthBytes);
    expectUnharmed(end);
  });

  it('repeats a request, and sends pings and heartbeats without reading: the request is answered once', async () => {
    const repetitions = 20_000;
    let pongs = 0;
    let replies = 0;
    let growth = 0;
    const end = await attack(
      afterWelcome((peer) => peer.say({ type: 'prefetch', sha256: firstShard.sha256 })),
      async (peer) => {
        const { offset } = await peer.hear('shard-request');
        peer.say({ type: 'shard-chunk', sha256: firstShard.sha256, offset }, shardImages[0]);
        await peer.hear('shard-held');
        let answers = 0;
        peer.socket.on('message', (data: Buffer) => {
          const { type } = parseWorkerMessage(decodeFrame(data).header);
          if (type === 'heartbeat-reply') replies++;
          else if (type !== 'heartbeat') answers++;
        });
        peer.socket.on('pong', () => pongs++);
        const before = bytesInUse();
        peer.socket.pause();
        for (let count = 0; count < repetitions; count++) {
          peer.say({ type: 'prefetch', sha256: firstShard.sha256 });
          peer.socket.ping(Buffer.alloc(125));
          peer.say({ type: 'heartbeat', sentMs: count });
        }
        peer.socket.resume();
        // This request is answered after all others.
        peer.say({ type: 'prefetch', sha256: shards[1].sha256 });
        await peer.hear('shard-request');
        growth = bytesInUse() - before;
        // The worker requested the other shard, and sent nothing about the first one again.
        expect(answers).toBe(1);
      },
    );
    expect(end.reasons).toEqual(['connection closed (1005)']);
    expect(pongs).toBeGreaterThan(0);
    expect(replies).toBeGreaterThan(0);
    expect(growth).toBeLessThan(maxGrowthBytes);
    expectUnharmed(end);
  });
});

// A worker under a coordinator that does its worst: it goes away with a clear reason, takes no memory for what was only
// claimed, writes nothing but shards into its cache, and computes for an honest coordinator next.
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../shared/clock.js';
import { recordBytes } from '../../shared/dataset/image-batch.js';
import { startWorker } from '../../worker/main.js';
import { fakeEngine } from '../support/fake-engine.js';
import { afterWelcome, cases, oneGiB, welcoming, type Case } from '../support/hostile-coordinators.js';
import { shards, scriptCoordinator, shardImages, type Peer } from '../support/scripted-coordinator.js';
import { temporaryFolder } from '../support/temporary-folder.js';

const maxGrowthBytes = 64 * 1024 * 1024;
const firstShard = shards[0];

const unhandled: unknown[] = [];
const keep = (reason: unknown) => unhandled.push(reason);
beforeAll(() => void process.on('unhandledRejection', keep));
afterAll(() => void process.off('unhandledRejection', keep));

/** Of objects and of buffers, claimed ones too. */
function bytesInUse(): number {
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** A worker in its own folder with others around it. @returns how its first connection ended, and what was there then */
async function underAttack(play: Case[2], isEnough?: (peer: Peer) => Promise<void>, connectionThread = false) {
  const folder = await temporaryFolder();
  const home = path.join(folder, 'a', 'b');
  await mkdir(path.join(home, 'cache'), { recursive: true });
  await writeFile(path.join(folder, 'x'), 'not yours');
  const namesBefore = await readdir(folder, { recursive: true });
  const memoryBefore = bytesInUse();
  let images = 0;
  let broken!: (error: unknown) => void;
  let finish!: () => void;
  const finished = new Promise<void>((resolve, reject) => {
    finish = resolve;
    broken = reject;
  });
  const first = async (peer: Peer) => {
    await play(peer);
    if (isEnough === undefined) return;
    await isEnough(peer);
    peer.socket.close();
  };
  const honest = async (peer: Peer) => {
    images = await peer.computeHonestly();
    finish();
  };
  const coordinator = await scriptCoordinator([first, honest], broken);
  const worker = await startWorker({
    url: coordinator.url,
    name: 'honest',
    engine: fakeEngine(),
    cache: path.join(home, 'cache'),
    connectionThread,
    // Knocks again at once; the limits of a second and more stay.
    clock: { ...systemClock, after: (delayMs, ring) => systemClock.after(delayMs < 1000 ? 0 : delayMs, ring) },
  });
  const reasons: string[] = [];
  let joinedBefore = false;
  worker.events.on('joined', () => (joinedBefore ||= reasons.length === 0));
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
  expect(await readFile(path.join(folder, 'x'), 'utf8')).toBe('not yours');
  const written = namesAfter.filter((name) => !namesBefore.includes(name));
  return { reasons, images, written, memoryGrowth, joinedBefore };
}

type Unharmed = Omit<Awaited<ReturnType<typeof underAttack>>, 'joinedBefore'>;

/** A worker came away from it: for this reason once, with nothing spoiled. */
function expectUnharmed({ images, written, memoryGrowth }: Unharmed): void {
  expect(images).toBe(4);
  expect(written.filter((name) => !/^a\/b\/cache\/[0-9a-f]{64}\.bin$/.test(name))).toEqual([]);
  expect(memoryGrowth).toBeLessThan(maxGrowthBytes);
  expect(unhandled).toEqual([]);
  expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
}

describe('a worker goes away, and computes for an honest coordinator next, after', () => {
  it.each(cases)('%s', async (_, reason, play) => {
    const end = await underAttack(play);
    expect(end.reasons).toEqual([expect.stringMatching(reason)]);
    expectUnharmed(end);
  });
});

it('nothing is read behind a broken message: a right welcome there lets nobody in', async () => {
  const { joinedBefore, ...end } = await underAttack((peer) => {
    for (const batchSize of [-4, 4]) welcoming({ batchSize })(peer);
  });
  expect(end.reasons).toEqual([expect.stringContaining('batchSize')]);
  expect(joinedBefore).toBe(false);
  expectUnharmed(end);
});

describe('a worker whose connection has a thread of its own goes away too, and computes next', () => {
  const names = new Set([
    'chunks without end',
    'requests without end',
    'a frame longer than any message',
    'bytes that are no frames',
  ]);
  it.each(cases.filter(([name]) => names.has(name)))('%s', async (_, reason, play) => {
    const end = await underAttack(play, undefined, true);
    expect(end.reasons).toEqual([expect.stringMatching(reason)]);
    expectUnharmed(end);
  });
});

describe('a worker goes on, without harm, where a coordinator', () => {
  it('calls its run by a path', async () => {
    const end = await underAttack(welcoming({ runId: '../../x' }), (peer) => {
      peer.sayWeights();
      peer.say({ type: 'prefetch', sha256: firstShard.sha256 });
      return peer.hear('shard-request').then(() => undefined);
    });
    expect(end.reasons).toEqual(['connection closed (1005)']);
    expectUnharmed(end);
  });

  it('announces a shard of 1 GiB, which takes no memory before it comes', async () => {
    const bytes = Math.floor(oneGiB / recordBytes) * recordBytes;
    const held = shards.map((announced, index) => ({ ...announced, bytes, index }));
    let growth = 0;
    const end = await underAttack(welcoming({ shards: held }), async (peer) => {
      const before = bytesInUse();
      for (const { sha256 } of held) {
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

  it('asks for the same again and again, and pings, and does not read: it is answered once', async () => {
    const asked = 20_000;
    let pongs = 0;
    let growth = 0;
    const end = await underAttack(
      afterWelcome((peer) => peer.say({ type: 'prefetch', sha256: firstShard.sha256 })),
      async (peer) => {
        const { offset } = await peer.hear('shard-request');
        peer.say({ type: 'shard-chunk', sha256: firstShard.sha256, offset }, shardImages[0]);
        await peer.hear('shard-held');
        let heldAgain = 0;
        peer.socket.on('message', () => heldAgain++);
        peer.socket.on('pong', () => pongs++);
        const before = bytesInUse();
        peer.socket.pause();
        for (let count = 0; count < asked; count++) {
          peer.say({ type: 'prefetch', sha256: firstShard.sha256 });
          peer.socket.ping(Buffer.alloc(125));
        }
        peer.socket.resume();
        // The answer to what comes behind them all.
        peer.say({ type: 'prefetch', sha256: shards[1].sha256 });
        await peer.hear('shard-request');
        growth = bytesInUse() - before;
        expect(heldAgain).toBe(1);
      },
    );
    expect(end.reasons).toEqual(['connection closed (1005)']);
    expect(pongs).toBeGreaterThan(0);
    expect(growth).toBeLessThan(maxGrowthBytes);
    expectUnharmed(end);
  });
});

// The weights do not depend on which worker computes which slices. Uses real sockets, and a fake engine whose results
// reveal any difference.
import { once } from 'node:events';
import { beforeAll, describe, expect, it } from 'vitest';
import { hashWith, startCluster } from '../support/local-cluster.js';
import { FakeClock } from '../support/fake-clock.js';
import { fakeEngine } from '../support/fake-engine.js';

let expectedSha256: string;
beforeAll(async () => {
  expectedSha256 = await hashWith(1);
});

describe('the weights have the same bits', () => {
  it.each([2, 3, 4, 5])(
    'with one worker and with %i (a fifth worker is a spare, because there are four slices)',
    async (workers) => {
      expect(await hashWith(workers)).toBe(expectedSha256);
    },
  );

  it('with measured preprocessing, label smoothing and augmented validation, whatever the number of workers', async () => {
    const options = { preprocessing: 'per-pixel-mean', labelSmoothing: 0.1, augmentValidation: true } as const;
    const [one, three] = [await hashWith(1, options), await hashWith(3, options)];
    expect(three).toBe(one);
    // These settings change the fake engine's results: see createModel in fake-engine.ts.
    expect(one).not.toBe(expectedSha256);
    expect(await hashWith(1, { ...options, preprocessing: 'standardize' })).not.toBe(one);
    expect(await hashWith(1, { ...options, labelSmoothing: 0.2 })).not.toBe(one);
  });

  it('with messages so large that their memory is used again', async () => {
    // 313 KB; messages of 64 KiB or more are gathered.
    const options = { initialFilters: 16 };
    const [one, ...others] = [await hashWith(1, options), await hashWith(2, options), await hashWith(4, options)];
    expect(others).toEqual([one, one]);
  });

  it('with alternating flips and reflected padding, across epochs', async () => {
    const options = { flip: 'alternating', cropPadding: 'reflect' } as const;
    const [one, two] = [await hashWith(1, options), await hashWith(2, options)];
    expect(two).toBe(one);
    const others = [{ flip: options.flip }, { cropPadding: options.cropPadding }];
    const hashes = await Promise.all(others.map((change) => hashWith(2, change)));
    expect(new Set([expectedSha256, one, ...hashes]).size).toBe(4);
  });

  it('with every augmentation', async () => {
    const options = {
      flip: 'alternating',
      resizedCrop: 0.2,
      brightnessJitter: 0.4,
      contrastJitter: 0.4,
      saturationJitter: 0.4,
      cutout: 16,
      augmentValidation: true,
    } as const;
    const [one, two] = [await hashWith(1, options), await hashWith(2, options)];
    expect(two).toBe(one);
    const others = [
      { resizedCrop: 0.2 },
      { brightnessJitter: 0.4 },
      { cutout: 16 },
      { cropMargin: 15 },
      { flip: 'none' as const },
    ];
    const hashes = await Promise.all(others.map((change) => hashWith(2, change)));
    expect(new Set([expectedSha256, one, ...hashes]).size).toBe(7);
  });

  it('when a worker joins in the middle of a step', async () => {
    const cluster = await startCluster({ minWorkers: 1 });
    try {
      const { events } = cluster.coordinator;
      // The first worker waits in the middle of the second step until both workers have joined.
      let slices = 0;
      const bothJoined = new Promise<void>((resolve) => {
        events.on('worker-joined', ({ workers }) => {
          if (workers === 2) resolve();
        });
      });
      await cluster.join({ engine: fakeEngine({ beforeSlice: () => (++slices > 5 ? bothJoined : undefined) }) });
      await once(events, 'step');
      await cluster.join();
      const report = await cluster.coordinator.report;
      expect(report.workersJoined).toBe(2);
      expect(report.weightsSha256).toBe(expectedSha256);
    } finally {
      await cluster.close();
    }
  });

  it('when a worker says goodbye in the middle of a step', async () => {
    // The fake clock never advances, so no worker becomes a straggler.
    const cluster = await startCluster({ minWorkers: 3, clock: new FakeClock() });
    try {
      await cluster.join();
      await cluster.join();
      let slices = 0;
      const leaver = await cluster.join({
        engine: fakeEngine({
          beforeSlice: () => {
            if (++slices === 5) leaver.stop('leaving');
          },
        }),
      });
      const report = await cluster.coordinator.report;
      expect(report).toMatchObject({ workersJoined: 3, workersLost: 1, weightsSha256: expectedSha256 });
      expect(report.slicesReassigned).toBeGreaterThan(0);
    } finally {
      await cluster.close();
    }
  });

  it("when a worker's engine fails and the others continue", async () => {
    const cluster = await startCluster({ minWorkers: 2 });
    try {
      await cluster.join();
      let slices = 0;
      const failing = await cluster.join({
        engine: fakeEngine({
          beforeSlice: () => {
            if (++slices === 4) throw new Error('out of memory on the device');
          },
        }),
      });
      await expect(failing.done).rejects.toMatchObject({
        code: 'engine-failed',
        message: 'out of memory on the device',
      });
      expect(await cluster.coordinator.report).toMatchObject({ workersLost: 1, weightsSha256: expectedSha256 });
    } finally {
      await cluster.close();
    }
  });

  it('when a worker is stuck in a slice, which an idle worker computes speculatively', async () => {
    const clock = new FakeClock();
    const cluster = await startCluster({ minWorkers: 2, clock });
    const { coordinator } = cluster;
    const { events, report } = coordinator;
    try {
      await cluster.join({ name: 'idle' });
      const straggler = once(events, 'straggler');
      let slices = 0;
      await cluster.join({
        name: 'stuck',
        engine: fakeEngine({
          // This worker computes two slices per step. By its eleventh slice, in step 6, enough durations are known for
          // the median.
          beforeSlice: async () => {
            if (++slices !== 11) return;
            await expect
              .poll(() => coordinator.status().run.slices.filter(({ answeredBy }) => answeredBy !== null))
              .toHaveLength(2);
            // The time limit for stragglers is at least 100 ms, and no time has passed so far.
            clock.advance(100);
            await straggler;
          },
        }),
      });
      expect((await straggler)[0]).toMatchObject({ name: 'stuck', slices: 2, speculative: ['idle'] });
      expect(await report).toMatchObject({
        workersLost: 0,
        slicesReassigned: 0,
        stragglers: 1,
        slicesDuplicated: 2,
        weightsSha256: expectedSha256,
      });
    } finally {
      await cluster.close();
    }
  });

  it('when a worker leaves whose shards the other already holds', async () => {
    const cluster = await startCluster({ minWorkers: 2, steps: 1000 });
    const { events } = cluster.coordinator;
    try {
      const leaver = await cluster.join();
      let computed = 0;
      await cluster.join({ engine: fakeEngine({ beforeSlice: () => void computed++ }) });
      // Each worker needs two of the four shards. After a while, both hold replicas of all four.
      for (;;) {
        await once(events, 'step');
        if (cluster.coordinator.status().workers.every(({ shards }) => shards.length === 4)) break;
      }
      leaver.stop('leaving');
      await once(events, 'worker-lost');
      // In the current step, some slices may already have been answered. In the next step, the remaining worker
      // computes all four.
      await once(events, 'step');
      const before = computed;
      await once(events, 'step');
      expect(computed - before).toBe(4);
    } finally {
      await cluster.close();
    }
  });

  it('when every worker leaves and another joins later', async () => {
    const cluster = await startCluster({ minWorkers: 1 });
    try {
      const first = await cluster.join();
      await once(cluster.coordinator.events, 'step');
      const lost = once(cluster.coordinator.events, 'worker-lost');
      first.stop('leaving');
      await lost;
      await cluster.join();
      expect(await cluster.coordinator.report).toMatchObject({ workersLost: 1, weightsSha256: expectedSha256 });
    } finally {
      await cluster.close();
    }
  });

  it('only with the same seed, number of slices, batch size, augmentation and optimizer', async () => {
    const others = [{ seed: 6 }, { slices: 2 }, { batchSize: 16 }, { augment: false }, { nesterov: true }];
    const hashes = await Promise.all(others.map((change) => hashWith(1, change)));
    expect(new Set([expectedSha256, ...hashes]).size).toBe(1 + others.length);
  });
});

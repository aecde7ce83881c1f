// The headline: the weights do not depend on who computed them. Real sockets, a fake engine whose bits tell on any difference.
import { once } from 'node:events';
import { beforeAll, describe, expect, it } from 'vitest';
import { hashWith, startCluster } from '../support/local-cluster.js';
import { FakeClock } from '../support/fake-clock.js';
import { fakeEngine } from '../support/fake-engine.js';

let alone: string;
beforeAll(async () => {
  alone = await hashWith(1);
});

describe('the weights are the same bits', () => {
  it.each([2, 3, 4, 5])('with %i workers as with one (4 slices, so the fifth is a spare)', async (workers) => {
    expect(await hashWith(workers)).toBe(alone);
  });

  it('with measured preprocessing, smoothed labels and augmented validation, which each worker is told of', async () => {
    const options = { preprocessing: 'per-pixel-mean', labelSmoothing: 0.1, augmentValidation: true } as const;
    const [one, three] = [await hashWith(1, options), await hashWith(3, options)];
    expect(three).toBe(one);
    // The fake engine computes with what it was given: see createModel.
    expect(one).not.toBe(alone);
    expect(await hashWith(1, { ...options, preprocessing: 'standardize' })).not.toBe(one);
    expect(await hashWith(1, { ...options, labelSmoothing: 0.2 })).not.toBe(one);
  });

  it('with alternating flips and reflected padding, over the end of an epoch', async () => {
    const options = { flip: 'alternating', cropPadding: 'reflect' } as const;
    const [one, two] = [await hashWith(1, options), await hashWith(2, options)];
    expect(two).toBe(one);
    const others = [{ flip: options.flip }, { cropPadding: options.cropPadding }];
    const hashes = await Promise.all(others.map((change) => hashWith(2, change)));
    expect(new Set([alone, one, ...hashes]).size).toBe(4);
  });

  it('when a worker joins in the middle', async () => {
    const cluster = await startCluster({ minWorkers: 1 });
    try {
      const { events } = cluster.coordinator;
      // The first one waits in the middle of the second step.
      let slices = 0;
      const bothAreHere = new Promise<void>((resolve) => {
        events.on('worker-joined', ({ workers }) => {
          if (workers === 2) resolve();
        });
      });
      await cluster.join({ engine: fakeEngine({ beforeSlice: () => (++slices > 5 ? bothAreHere : undefined) }) });
      await once(events, 'step');
      await cluster.join();
      const report = await cluster.coordinator.report;
      expect(report.workersJoined).toBe(2);
      expect(report.weightsSha256).toBe(alone);
    } finally {
      await cluster.close();
    }
  });

  it('when a worker says goodbye in the middle of a step', async () => {
    // No time passes: nobody is late and helped.
    const cluster = await startCluster({ minWorkers: 3, clock: new FakeClock() });
    try {
      await cluster.join();
      await cluster.join();
      let slices = 0;
      const leaver = await cluster.join({
        engine: fakeEngine({
          beforeSlice: () => {
            if (++slices === 5) leaver.stop('lunch');
          },
        }),
      });
      const report = await cluster.coordinator.report;
      expect(report).toMatchObject({ workersJoined: 3, workersLost: 1, weightsSha256: alone });
      expect(report.slicesReassigned).toBeGreaterThan(0);
    } finally {
      await cluster.close();
    }
  });

  it("when a worker's engine fails: it is sent away, and the others go on", async () => {
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
      expect(await cluster.coordinator.report).toMatchObject({ workersLost: 1, weightsSha256: alone });
    } finally {
      await cluster.close();
    }
  });

  it('when a worker hangs in a slice: an idle one computes it too, and the first answer counts', async () => {
    const clock = new FakeClock();
    const cluster = await startCluster({ minWorkers: 2, clock });
    const { coordinator } = cluster;
    const { events, report } = coordinator;
    try {
      await cluster.join({ name: 'idle' });
      const helped = once(events, 'straggler');
      let slices = 0;
      await cluster.join({
        name: 'hung',
        engine: fakeEngine({
          // Two slices a step: the median is known by then.
          beforeSlice: async () => {
            if (++slices !== 11) return;
            await expect
              .poll(() => coordinator.status().run.slices.filter(({ answeredBy }) => answeredBy !== null))
              .toHaveLength(2);
            // Nobody is late before 100 ms, and no time has passed till now.
            clock.advance(100);
            await helped;
          },
        }),
      });
      expect((await helped)[0]).toMatchObject({ name: 'hung', slices: 2, speculative: ['idle'] });
      expect(await report).toMatchObject({
        workersLost: 0,
        slicesReassigned: 0,
        stragglers: 1,
        slicesDuplicated: 2,
        weightsSha256: alone,
      });
    } finally {
      await cluster.close();
    }
  });

  it('when a worker leaves whose shards were placed on the other beforehand', async () => {
    const cluster = await startCluster({ minWorkers: 2, steps: 1000 });
    const { events } = cluster.coordinator;
    try {
      const leaver = await cluster.join();
      let asked = 0;
      await cluster.join({ engine: fakeEngine({ beforeSlice: () => void asked++ }) });
      // Each has two of the four shards by need, and in the end two copies.
      for (;;) {
        await once(events, 'step');
        if (cluster.coordinator.status().workers.every(({ shards }) => shards.length === 4)) break;
      }
      leaver.stop('lunch');
      await once(events, 'worker-lost');
      // Of the running step, which may have been answered for. The next one is all its own: four slices.
      await once(events, 'step');
      const before = asked;
      await once(events, 'step');
      expect(asked - before).toBe(4);
    } finally {
      await cluster.close();
    }
  });

  it('when every worker leaves and another comes later', async () => {
    const cluster = await startCluster({ minWorkers: 1 });
    try {
      const first = await cluster.join();
      await once(cluster.coordinator.events, 'step');
      const lost = once(cluster.coordinator.events, 'worker-lost');
      first.stop('gone');
      await lost;
      await cluster.join();
      expect(await cluster.coordinator.report).toMatchObject({ workersLost: 1, weightsSha256: alone });
    } finally {
      await cluster.close();
    }
  });

  it('but other bits under another seed, slicing or batch size', async () => {
    const others = [{ seed: 6 }, { slices: 2 }, { batchSize: 16 }, { augment: false }, { nesterov: true }];
    const hashes = await Promise.all(others.map((change) => hashWith(1, change)));
    expect(new Set([alone, ...hashes]).size).toBe(1 + others.length);
  });
});

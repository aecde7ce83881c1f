// The headline: the weights do not depend on who computed them. Real sockets, a fake engine whose bits tell on any difference.
import { once } from 'node:events';
import { beforeAll, describe, expect, it } from 'vitest';
import { hashWith, startCluster } from '../support/local-cluster.js';
import { fakeEngine } from '../support/fake-engine.js';

let alone: string;
beforeAll(async () => {
  alone = await hashWith(1);
});

describe('the weights are the same bits', () => {
  it.each([2, 3, 4, 5])('with %i workers as with one (4 slices, so the fifth is a spare)', async (workers) => {
    expect(await hashWith(workers)).toBe(alone);
  });

  it('when a worker joins in the middle', async () => {
    const cluster = await startCluster({ minWorkers: 1 });
    try {
      await cluster.join();
      await once(cluster.coordinator.events, 'step');
      await cluster.join();
      const report = await cluster.coordinator.report;
      expect(report.workersJoined).toBe(2);
      expect(report.weightsSha256).toBe(alone);
    } finally {
      await cluster.close();
    }
  });

  it('when a worker says goodbye in the middle of a step', async () => {
    const cluster = await startCluster({ minWorkers: 3 });
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

  it('when every worker leaves and another comes later', async () => {
    const cluster = await startCluster({ minWorkers: 1 });
    try {
      const first = await cluster.join();
      await once(cluster.coordinator.events, 'step');
      const lost = once(cluster.coordinator.events, 'workerLost');
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

// Runs that end early, because they are stopped or have too few workers: both save a checkpoint of the last complete step.
import { once } from 'node:events';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { CoordinatorOptions } from '../../coordinator/main.js';
import { loadCheckpoint } from '../../coordinator/run/load-checkpoint.js';
import { LockstepError } from '../../shared/errors.js';
import type { WorkerOptions } from '../../worker/main.js';
import { FakeClock } from '../support/fake-clock.js';
import { fakeEngine } from '../support/fake-engine.js';
import { startCluster, type Cluster } from '../support/local-cluster.js';

/** Runs a test with a cluster whose time moves only when the test says so. */
async function withCluster(
  options: CoordinatorOptions,
  test: (
    cluster: Cluster,
    clock: FakeClock,
    join: (options?: Partial<WorkerOptions>) => ReturnType<Cluster['join']>,
  ) => Promise<void>,
): Promise<void> {
  const clock = new FakeClock();
  const cluster = await startCluster({ clock, ...options });
  try {
    await test(cluster, clock, (workerOptions) => cluster.join(workerOptions));
  } finally {
    await cluster.close();
  }
}

const savedStep = async ({ coordinator }: Cluster) => (await loadCheckpoint(coordinator.runDirectory)).step;
const nextEvent = async (cluster: Cluster, name: 'waiting' | 'workerJoined' | 'step') =>
  (await once(cluster.coordinator.events, name))[0] as unknown;

/** An engine that stands still in the slice of this number, counted from 1, until it is let go. */
function stuckEngine(atSlice: number) {
  let letGo!: () => void;
  let tellStuck!: () => void;
  const released = new Promise<void>((resolve) => (letGo = resolve));
  const isStuck = new Promise<void>((resolve) => (tellStuck = resolve));
  let slices = 0;
  const engine = fakeEngine({
    beforeSlice: async () => {
      if (++slices !== atSlice) return;
      tellStuck();
      await released;
    },
  });
  return { engine, isStuck, letGo };
}

describe('a run told to stop', () => {
  it('ends the running step, saves it, and tells its workers why', async () => {
    await withCluster({}, async (cluster, _clock, join) => {
      const worker = await join();
      cluster.coordinator.events.on('step', ({ step }) => {
        if (step === 3) cluster.coordinator.stop(new LockstepError('interrupted', 'interrupted by SIGTERM'));
      });
      await expect(cluster.coordinator.report).rejects.toThrow('interrupted by SIGTERM');
      expect(await savedStep(cluster)).toBe(3);
      expect(await worker.done).toMatchObject({ reason: 'interrupted by SIGTERM' });
    });
  });

  it('gives up a step that does not end in 10 s, and saves the one before it', async () => {
    await withCluster({}, async (cluster, clock, join) => {
      // 4 slices a step: the tenth is in step 3.
      const { engine, isStuck, letGo } = stuckEngine(10);
      try {
        await join({ engine });
        await isStuck;
        cluster.coordinator.stop();
        let hasEnded = false;
        cluster.coordinator.report.catch(() => (hasEnded = true));
        clock.advance(9_999);
        await new Promise((resolve) => setImmediate(resolve));
        expect(hasEnded).toBe(false);
        clock.advance(1);
        await expect(cluster.coordinator.report).rejects.toMatchObject({ code: 'interrupted' });
        expect(await savedStep(cluster)).toBe(2);
      } finally {
        letGo();
      }
    });
  });

  it('ends at once where nobody computes, and where no step was made there is nothing to save', async () => {
    await withCluster({ minWorkers: 2 }, async (cluster, clock, join) => {
      await join();
      cluster.coordinator.stop();
      await expect(cluster.coordinator.report).rejects.toMatchObject({ code: 'interrupted' });
      await expect(savedStep(cluster)).rejects.toMatchObject({ code: 'no-checkpoint' });
      // The pool's timers are stopped with it, and so is the grace.
      expect(clock.running).toBe(0);
    });
  });
});

describe('a run with too few workers', () => {
  it('says so when the last one leaves in the middle of a step, and goes on when one comes', async () => {
    await withCluster({}, async (cluster, _clock, join) => {
      const { engine, isStuck, letGo } = stuckEngine(10);
      const worker = await join({ engine });
      await isStuck;
      const waiting = nextEvent(cluster, 'waiting');
      worker.stop('gone');
      letGo();
      expect(await waiting).toEqual({ workers: 0, needed: 1 });
      await join();
      expect((await cluster.coordinator.report).steps).toBe(14);
    });
  });

  it('ends after --wait-timeout with a checkpoint of the last complete step', async () => {
    await withCluster({ waitTimeoutMs: 60_000 }, async (cluster, clock, join) => {
      const { engine, isStuck, letGo } = stuckEngine(10);
      const worker = await join({ engine });
      await isStuck;
      const waiting = nextEvent(cluster, 'waiting');
      worker.stop('gone');
      letGo();
      await waiting;
      clock.advance(60_000);
      await expect(cluster.coordinator.report).rejects.toMatchObject({
        code: 'no-workers',
        message: 'fewer than 1 worker was here for 60 s (--wait-timeout)',
      });
      expect(await savedStep(cluster)).toBe(2);
    });
  });

  it('ends after --wait-timeout before its first step too', async () => {
    await withCluster({ waitTimeoutMs: 60_000, minWorkers: 2 }, async (cluster, clock, join) => {
      const joined = nextEvent(cluster, 'workerJoined');
      await join();
      await joined;
      clock.advance(60_000);
      await expect(cluster.coordinator.report).rejects.toThrow('fewer than 2 workers were here for 60 s');
    });
  });

  it('goes on with fewer than it began with, unless --pause-below says otherwise', async () => {
    await withCluster({ minWorkers: 2, pauseBelow: 2 }, async (cluster, _clock, join) => {
      const first = await join();
      await join();
      await nextEvent(cluster, 'step');
      const waiting = nextEvent(cluster, 'waiting');
      first.stop('lunch');
      expect(await waiting).toEqual({ workers: 1, needed: 2 });
      await join();
      expect(await cluster.coordinator.report).toMatchObject({ steps: 14, workersJoined: 3, workersLost: 1 });
    });
  });
});

it('workers that come before the run counts them are counted, and held to --exact', async () => {
  const cluster = await startCluster({ exact: true, minWorkers: 2 });
  try {
    await Promise.all([cluster.join(), cluster.join(), cluster.join()]);
    const report = await cluster.coordinator.report;
    expect(report.workersJoined).toBe(3);
    expect(path.basename(cluster.coordinator.runDirectory)).toBe('run');
  } finally {
    await cluster.close();
  }
});

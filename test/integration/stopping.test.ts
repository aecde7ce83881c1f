// Runs that end early because they are stopped or wait too long for workers. In both cases, the last complete step is
// saved.
import { once } from 'node:events';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { CoordinatorOptions } from '../../coordinator/main.js';
import { loadCheckpoint } from '../../coordinator/run/checkpoints/load-checkpoint.js';
import { LockstepError } from '../../shared/errors.js';
import type { WorkerOptions } from '../../worker/main.js';
import { FakeClock } from '../support/fake-clock.js';
import { fakeEngine } from '../support/fake-engine.js';
import { startCluster, type Cluster } from '../support/local-cluster.js';

/** Runs a test with a cluster on a fake clock. */
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
const nextEvent = async (cluster: Cluster, name: 'waiting' | 'worker-joined' | 'step') =>
  (await once(cluster.coordinator.events, name))[0] as unknown;

const waitingEvent = (counts: { workers: number; needed: number }) => ({
  type: 'waiting',
  step: expect.any(Number) as number,
  time: expect.any(String) as string,
  ...counts,
});

/**
 * Returns an engine that blocks at a slice until `release` is called. @param atSlice number of the slice, starting at 1
 */
function stuckEngine(atSlice: number) {
  let release!: () => void;
  let reportStuck!: () => void;
  const released = new Promise<void>((resolve) => (release = resolve));
  const isStuck = new Promise<void>((resolve) => (reportStuck = resolve));
  let slices = 0;
  const engine = fakeEngine({
    beforeSlice: async () => {
      if (++slices !== atSlice) return;
      reportStuck();
      await released;
    },
  });
  return { engine, isStuck, release };
}

describe('a run that is stopped', () => {
  it('finishes the current step, saves it, and sends its workers the reason', async () => {
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

  it('abandons a step that does not end within 10 s, and saves the step before', async () => {
    await withCluster({}, async (cluster, clock, join) => {
      // With 4 slices per step, the tenth slice belongs to step 3.
      const { engine, isStuck, release } = stuckEngine(10);
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
        release();
      }
    });
  });

  it('ends at once without a checkpoint if no step has started', async () => {
    await withCluster({ minWorkers: 2 }, async (cluster, clock, join) => {
      await join();
      cluster.coordinator.stop();
      await expect(cluster.coordinator.report).rejects.toMatchObject({ code: 'interrupted' });
      await expect(savedStep(cluster)).rejects.toMatchObject({ code: 'no-checkpoint' });
      // All timers have been stopped, including those for connections and for the grace period.
      expect(clock.running).toBe(0);
    });
  });
});

describe('a run with too few workers', () => {
  it('waits when the last worker leaves during a step, and continues when another joins', async () => {
    await withCluster({}, async (cluster, _clock, join) => {
      const { engine, isStuck, release } = stuckEngine(10);
      const worker = await join({ engine });
      await isStuck;
      const waiting = nextEvent(cluster, 'waiting');
      worker.stop('gone');
      release();
      expect(await waiting).toEqual(waitingEvent({ workers: 0, needed: 1 }));
      await join();
      expect((await cluster.coordinator.report).steps).toBe(14);
    });
  });

  it('ends after waitTimeoutMs with a checkpoint of the last complete step', async () => {
    await withCluster({ waitTimeoutMs: 60_000 }, async (cluster, clock, join) => {
      const { engine, isStuck, release } = stuckEngine(10);
      const worker = await join({ engine });
      await isStuck;
      const waiting = nextEvent(cluster, 'waiting');
      worker.stop('gone');
      release();
      await waiting;
      clock.advance(60_000);
      await expect(cluster.coordinator.report).rejects.toMatchObject({
        code: 'no-workers',
        message: 'timed out after 60 s waiting for 1 connected worker: start more workers, or increase `waitTimeoutMs`',
      });
      expect(await savedStep(cluster)).toBe(2);
    });
  });

  it('ends after waitTimeoutMs before its first step too', async () => {
    await withCluster({ waitTimeoutMs: 60_000, minWorkers: 2 }, async (cluster, clock, join) => {
      const joined = nextEvent(cluster, 'worker-joined');
      await join();
      await joined;
      clock.advance(60_000);
      await expect(cluster.coordinator.report).rejects.toThrow('timed out after 60 s waiting for 2 connected workers');
    });
  });

  it('waits below pauseBelow workers, and continues when enough are connected again', async () => {
    await withCluster({ minWorkers: 2, pauseBelow: 2 }, async (cluster, _clock, join) => {
      const first = await join();
      await join();
      await nextEvent(cluster, 'step');
      const waiting = nextEvent(cluster, 'waiting');
      first.stop('gone');
      expect(await waiting).toEqual(waitingEvent({ workers: 1, needed: 2 }));
      await join();
      expect(await cluster.coordinator.report).toMatchObject({ steps: 14, workersJoined: 3, workersLost: 1 });
    });
  });
});

it('workers that join before the first event are counted, also in an exact run', async () => {
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

// Who is taken for dead and who is not. The coordinator is in this process, workers in processes of their own, which can
// be held up and frozen. The limits are shorter than the defaults, and still long for a loaded machine.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startCluster, type Cluster } from '../support/local-cluster.js';

const program = fileURLToPath(new URL('../support/slow-worker.mjs', import.meta.url));
const silence = { pingInterval: 0.25, silenceTimeout: 2 };
const limits = { timeout: 60_000 };

async function cluster(options: Parameters<typeof startCluster>[0]): Promise<Cluster> {
  const started = await startCluster({ ...silence, slices: 1, ...options });
  onTestFinished(() => started.close());
  return started;
}

/** Starts a worker that holds up its thread for so long before each slice. */
function startSlowWorker({ coordinator }: Cluster, name: string, delayMs: number): ChildProcess {
  const child = spawn(process.execPath, [program, coordinator.url, name, String(delayMs)], { stdio: 'inherit' });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

async function hashOfQuietRun(steps: number): Promise<string> {
  const quiet = await cluster({ steps });
  startSlowWorker(quiet, 'quiet', 0);
  return (await quiet.coordinator.report).weightsSha256;
}

describe('a worker', () => {
  it('whose engine computes for longer than the silence limit is not taken for dead', limits, async () => {
    const busy = await cluster({ steps: 1 });
    startSlowWorker(busy, 'busy', 2.5 * 1000 * silence.silenceTimeout);
    expect(await busy.coordinator.report).toMatchObject({
      workersJoined: 1,
      workersLost: 0,
      weightsSha256: await hashOfQuietRun(1),
    });
  });

  it('whose process is frozen is lost after the silence limit, and joins again once it runs', limits, async () => {
    const steps = 3;
    const shaken = await cluster({ steps });
    const { events, report } = shaken.coordinator;
    const frozen = startSlowWorker(shaken, 'frozen', 0);
    await once(events, 'step');
    frozen.kill('SIGSTOP');
    const [{ reason }] = await once(events, 'workerLost');
    expect(reason).toBe('silent for more than 2 s');
    const joined = once(events, 'workerJoined');
    frozen.kill('SIGCONT');
    expect((await joined)[0]).toMatchObject({ name: 'frozen', workers: 1 });
    // Nobody else is there: the rest of the run is its work.
    expect(await report).toMatchObject({
      workersJoined: 2,
      workersLost: 1,
      weightsSha256: await hashOfQuietRun(steps),
    });
  });

  it('that is killed is lost at once, and the other goes on with its slice', limits, async () => {
    const steps = 4;
    const shaken = await cluster({ steps, minWorkers: 2 });
    const { events, report } = shaken.coordinator;
    // The first to join computes the one slice, the second is a spare.
    const killed = startSlowWorker(shaken, 'killed', 500);
    await once(events, 'workerJoined');
    startSlowWorker(shaken, 'other', 0);
    await once(events, 'step');
    killed.kill('SIGKILL');
    const [{ name, reason }] = await once(events, 'workerLost');
    expect([name, reason]).toEqual(['killed', 'connection closed (1006)']);
    expect(await report).toMatchObject({ workersLost: 1, weightsSha256: await hashOfQuietRun(steps) });
  });
});

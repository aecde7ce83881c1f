// Detection of dead workers. The coordinator runs in this process on a fake clock. Workers run in separate processes,
// which can be blocked and frozen.
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { FakeClock } from '../support/fake-clock.js';
import { startCluster, type Cluster } from '../support/local-cluster.js';
import { passTimeUntil } from '../support/passing-time.js';

const program = fileURLToPath(new URL('../support/slow-worker.mjs', import.meta.url));

async function cluster(options: Parameters<typeof startCluster>[0]) {
  const clock = new FakeClock();
  const started = await startCluster({ clock, slices: 1, ...options });
  onTestFinished(() => started.close());
  return { ...started, clock };
}

interface SlowWorker {
  child: ChildProcessByStdio<Writable, Readable, null>;
  /** Resolves when the worker blocks its thread for the first time. */
  held: Promise<unknown>;
  /** Lets the worker compute without further pauses. */
  release: () => void;
}

/**
 * Starts a worker that blocks its thread before each slice. @param heldFrom number of the first blocked slice, starting
 * at 1
 */
function startSlowWorker({ coordinator }: Cluster, name: string, heldFrom = Infinity): SlowWorker {
  const child = spawn(process.execPath, [program, coordinator.url, name, String(heldFrom)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  return { child, held: once(child.stdout, 'data'), release: () => void child.stdin.end() };
}

async function hashWithoutFaults(steps: number): Promise<string> {
  const healthy = await cluster({ steps });
  startSlowWorker(healthy, 'healthy');
  return (await healthy.coordinator.report).weightsSha256;
}

describe('a worker', () => {
  it('whose engine computes for longer than the heartbeat timeout is not disconnected', async () => {
    const busy = await cluster({ steps: 1 });
    const { coordinator, clock } = busy;
    const { held, release } = startSlowWorker(busy, 'busy', 1);
    await held;
    const minute = new Promise<void>((resolve) => clock.after(60_000, resolve));
    await passTimeUntil(minute, { coordinator, clock, alive: ['busy'] });
    expect(coordinator.status().workers).toMatchObject([{ name: 'busy', state: 'working' }]);
    release();
    expect(await coordinator.report).toMatchObject({
      workersJoined: 1,
      workersLost: 0,
      weightsSha256: await hashWithoutFaults(1),
    });
  });

  it('whose process is frozen is lost after the heartbeat timeout, and joins again once it runs', async () => {
    const steps = 3;
    const faulted = await cluster({ steps });
    const { coordinator, clock } = faulted;
    const { events, report } = coordinator;
    const frozen = startSlowWorker(faulted, 'frozen', 2);
    await frozen.held;
    const lost = once(events, 'worker-lost');
    frozen.child.kill('SIGSTOP');
    await passTimeUntil(lost, { coordinator, clock, alive: [] });
    expect((await lost)[0]).toMatchObject({ name: 'frozen', reason: 'silent for more than 10 s' });
    const joined = once(events, 'worker-joined');
    frozen.release();
    frozen.child.kill('SIGCONT');
    expect((await joined)[0]).toMatchObject({ name: 'frozen', workers: 1 });
    // This worker is the only one, so it computes the rest of the run.
    expect(await report).toMatchObject({
      workersJoined: 2,
      workersLost: 1,
      weightsSha256: await hashWithoutFaults(steps),
    });
  });

  it('that is killed is lost at once, and another computes its slice', async () => {
    const steps = 4;
    const faulted = await cluster({ steps, minWorkers: 2 });
    const { events, report } = faulted.coordinator;
    // The first worker to join computes the only slice; the second is a spare.
    const killed = startSlowWorker(faulted, 'killed', 2);
    await once(events, 'worker-joined');
    startSlowWorker(faulted, 'other');
    await killed.held;
    killed.child.kill('SIGKILL');
    const [{ name, reason }] = await once(events, 'worker-lost');
    expect([name, reason]).toEqual(['killed', 'connection closed (1006)']);
    expect(await report).toMatchObject({ workersLost: 1, weightsSha256: await hashWithoutFaults(steps) });
  });
});

// Detection of dead workers. The coordinator runs in this process on a fake clock. Workers run in separate processes,
// which can be blocked and frozen.
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import { decodeFrame, encodeFrame } from '../../shared/protocol/frame.js';
import { encodeHeartbeat, heartbeatIn } from '../../shared/protocol/heartbeats/messages.js';
import { parseCoordinatorMessage, protocolVersion } from '../../shared/protocol/messages.js';
import { FakeClock } from '../support/fake-clock.js';
import { hashWith, startCluster, type Cluster } from '../support/local-cluster.js';
import { passTimeUntil } from '../support/passing-time.js';

const hello = {
  type: 'hello',
  protocolVersion,
  lockstepVersion: '0.1.0',
  token: '',
  name: 'a page',
  engines: [{ engine: 'fake', fingerprint: 'fake/1', device: 'a fake device' }],
  cachedShards: [],
};
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

  it('that reads but answers no heartbeats, as a frozen page does, is lost, and another computes its slice', async () => {
    const faulted = await cluster({ steps: 1, minWorkers: 2 });
    const { coordinator, clock } = faulted;
    const joined = once(coordinator.events, 'worker-joined');
    // The first worker to join is assigned the only slice. ws answers pings by itself, as browsers do.
    const page = new WebSocket(`${coordinator.url}/worker`);
    onTestFinished(() => page.terminate());
    const [assigned, heartbeat] = ['compute', 'heartbeat'].map(
      (type) =>
        new Promise<void>((resolve) => {
          page.on('message', (data: Buffer) => {
            if (parseCoordinatorMessage(decodeFrame(data).header).type === type) resolve();
          });
        }),
    );
    await once(page, 'open');
    page.send(encodeFrame(hello));
    await joined;
    await faulted.join({ name: 'other' });
    await assigned;
    const lost = once(coordinator.events, 'worker-lost');
    await passTimeUntil(lost, { coordinator, clock, alive: ['other'] });
    expect((await lost)[0]).toMatchObject({ name: 'a page', reason: 'silent for more than 10 s' });
    await heartbeat;
    const weightsSha256 = await hashWith(1, { slices: 1, steps: 1 });
    expect(await coordinator.report).toMatchObject({ workersLost: 1, weightsSha256 });
  });

  it('that sends heartbeats but reads nothing does not fill the memory of the coordinator', async () => {
    const { coordinator } = await cluster({ steps: 1, minWorkers: 2 });
    const socket = new WebSocket(`${coordinator.url}/worker`);
    onTestFinished(() => socket.terminate());
    await once(socket, 'open');
    const joined = once(coordinator.events, 'worker-joined');
    socket.send(encodeFrame(hello));
    await joined;
    socket.pause();
    const heartbeats = 300_000;
    for (let sent = 0; sent < heartbeats; sent += 1_000) {
      for (let count = 1; count < 1_000; count++) socket.send(encodeHeartbeat({ type: 'heartbeat', sentMs: sent }));
      await new Promise((resolve) => socket.send(encodeHeartbeat({ type: 'heartbeat', sentMs: sent }), resolve));
    }
    let replies = 0;
    socket.on('message', (data: Buffer) => {
      if (heartbeatIn(data)?.type === 'heartbeat-reply') replies++;
    });
    const lost = once(coordinator.events, 'worker-lost');
    socket.resume();
    socket.send(encodeFrame({ type: 'leave', reason: 'the test has ended' }));
    socket.close();
    expect((await lost)[0]).toMatchObject({ name: 'a page', reason: 'left: the test has ended' });
    expect(replies).toBeGreaterThan(0);
    expect(replies).toBeLessThan(heartbeats);
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

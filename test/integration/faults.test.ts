// Faults in worker processes and connections do not change the weights. Uses real processes with the wasm engine. Each
// fault is injected at a defined point, not after a delay.
import { once } from 'node:events';
import { beforeAll, describe, expect, it } from 'vitest';
import type { LinkMark } from '../../cli/machine/chaos/faulty-link.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { chunkBytes } from '../../shared/protocol/messages.js';
import { FakeClock } from '../support/fake-clock.js';
import { passTimeUntil } from '../support/passing-time.js';
import { startFaulted, type FaultedCluster, type FaultedWorker } from '../support/faulted-cluster.js';

let expectedSha256: string;
beforeAll(async () => {
  const cluster = await startFaulted({ minWorkers: 2 });
  await cluster.start('w1');
  await cluster.start('w2');
  expectedSha256 = (await cluster.finish()).weightsSha256;
});

type Direction = LinkMark['direction'];
/** Returns a predicate that matches a point in a message. @param step zero-based step; any step by default */
const at = (direction: Direction, type: string, point: LinkMark['point'], step?: number) => (mark: LinkMark) =>
  mark.direction === direction &&
  mark.message.type === type &&
  mark.point === point &&
  (step === undefined || ('step' in mark.message && mark.message.step === step));

const kill = ({ child }: FaultedWorker) => child.kill('SIGKILL');

/** Points at which the first of two workers is killed. An epoch has 11 steps. */
const phases: [string, (victim: FaultedWorker, cluster: FaultedCluster) => void][] = [
  [
    'after the weights have arrived, before its assignment',
    (victim) => victim.onceAt(at('down', 'weights', 'end', 3), () => kill(victim)),
  ],
  [
    'while it computes',
    (victim) => {
      let slices = 0;
      victim.child.on('message', () => {
        if (++slices === 6) kill(victim);
      });
    },
  ],
  [
    'in the middle of sending a gradient',
    (victim) =>
      victim.onceAt(at('up', 'gradient', 'middle', 3), () => {
        kill(victim);
        victim.link.cut();
      }),
  ],
  [
    'between two steps',
    (victim, { coordinator }) => {
      coordinator.events.on('step', ({ step }) => {
        if (step === 3) kill(victim);
      });
    },
  ],
  ['during validation', (victim) => victim.onceAt(at('down', 'evaluate', 'end', 11), () => kill(victim))],
  [
    'in the middle of receiving a shard',
    (victim) =>
      victim.onceAt(at('down', 'shard-chunk', 'middle'), () => {
        kill(victim);
        victim.link.cut();
      }),
  ],
];

describe('the weights are those of a run without faults', () => {
  it.each(phases)('when a worker is killed %s', async (_, arrange) => {
    const cluster = await startFaulted({ minWorkers: 2 });
    const victim = await cluster.startAnnouncing('w1');
    arrange(victim, cluster);
    // The first worker to join is assigned work even if there is work for only one.
    await once(cluster.coordinator.events, 'worker-joined');
    await cluster.start('w2');
    const lost = once(cluster.coordinator.events, 'worker-lost');
    expect(await cluster.finish()).toMatchObject({ workersJoined: 2, workersLost: 1, weightsSha256: expectedSha256 });
    expect((await lost)[0]).toMatchObject({ name: 'w1' });
    expect(victim.child.signalCode).toBe('SIGKILL');
  });

  it('when a worker runs out of memory in the middle of a slice', async () => {
    const cluster = await startFaulted({ minWorkers: 2 });
    const hungry = await cluster.startHungry('w1', 64);
    const ended = once(hungry.child, 'exit');
    await once(cluster.coordinator.events, 'worker-joined');
    await cluster.start('w2');
    const lost = once(cluster.coordinator.events, 'worker-lost');
    expect(await cluster.finish()).toMatchObject({ workersJoined: 2, workersLost: 1, weightsSha256: expectedSha256 });
    expect((await lost)[0]).toMatchObject({ name: 'w1', reason: 'connection closed (1006)' });
    // When V8 runs out of memory, it aborts the process.
    expect((await ended)[1]).toBe('SIGABRT');
  });

  it('when a worker is frozen for longer than the heartbeat timeout, disconnected, and continued', async () => {
    const clock = new FakeClock();
    const cluster = await startFaulted({ minWorkers: 2, clock });
    const { coordinator } = cluster;
    const frozen = await cluster.start('w1');
    // Blocks in the third step, so that the run cannot end before the frozen worker has rejoined.
    const other = await cluster.startAnnouncing('w2', 2);
    const lost = once(coordinator.events, 'worker-lost');
    await new Promise<void>((resolve) =>
      frozen.onceAt(at('down', 'compute', 'end', 3), () => {
        frozen.child.kill('SIGSTOP');
        resolve();
      }),
    );
    await passTimeUntil(lost, { coordinator, clock, alive: ['w2'] });
    expect((await lost)[0]).toMatchObject({ name: 'w1', reason: 'silent for more than 10 s' });
    const joined = once(coordinator.events, 'worker-joined');
    frozen.child.kill('SIGCONT');
    expect((await joined)[0]).toMatchObject({ name: 'w1', workers: 2 });
    other.child.send('continue');
    expect(await cluster.finish()).toMatchObject({ workersJoined: 3, workersLost: 1, weightsSha256: expectedSha256 });
  });

  it('when a connection stalls, and the worker reconnects after its own heartbeat timeout', async () => {
    const clock = new FakeClock();
    // The coordinator uses the fake clock for this timeout, the worker the real clock.
    const cluster = await startFaulted({ minWorkers: 2, heartbeatInterval: 0.5, heartbeatTimeout: 2.5, clock });
    const { coordinator } = cluster;
    const stalled = await cluster.start('w1');
    const other = await cluster.startAnnouncing('w2', 2);
    const events: string[] = [];
    coordinator.events.on('worker-joined', ({ name }) => events.push(name));
    coordinator.events.on('worker-lost', ({ name, reason }) => events.push(`${name}: ${reason}`));
    const lost = once(coordinator.events, 'worker-lost');
    await new Promise<void>((resolve) =>
      stalled.onceAt(at('up', 'gradient', 'middle', 3), () => {
        stalled.link.stall();
        resolve();
      }),
    );
    await passTimeUntil(lost, { coordinator, clock, alive: ['w2'] });
    expect(events).toContain('w1: silent for more than 2.5 s');
    // The worker may already have reconnected.
    await expect.poll(() => events.filter((name) => name === 'w1')).toHaveLength(2);
    other.child.send('continue');
    expect((await cluster.finish()).weightsSha256).toBe(expectedSha256);
  });

  it('when all workers are killed and two new ones join', async () => {
    const cluster = await startFaulted({ minWorkers: 2 });
    const { events } = cluster.coordinator;
    const first = [await cluster.start('w1'), await cluster.start('w2')];
    events.on('step', ({ step }) => {
      if (step === 3) first.forEach(kill);
    });
    await once(events, 'worker-lost');
    await once(events, 'worker-lost');
    await cluster.start('w3');
    await cluster.start('w4');
    expect(await cluster.finish()).toMatchObject({ workersJoined: 4, workersLost: 2, weightsSha256: expectedSha256 });
  });

  it.each([
    ['a gradient', 'up', 'gradient'],
    ['the weights', 'down', 'weights'],
    ['an assignment', 'down', 'compute'],
  ] as const)(
    'when a connection is cut in the middle of %s, and the worker joins again',
    async (_, direction, type) => {
      const cluster = await startFaulted({ minWorkers: 2 });
      const cut = await cluster.start('w1');
      const other = await cluster.startAnnouncing('w2', 2);
      cut.onceAt(at(direction, type, 'middle', 3), () => cut.link.cut());
      await once(cluster.coordinator.events, 'worker-lost');
      const [joined] = await once(cluster.coordinator.events, 'worker-joined');
      expect(joined).toMatchObject({ name: 'w1' });
      other.child.send('continue');
      expect(await cluster.finish()).toMatchObject({ workersJoined: 3, workersLost: 1, weightsSha256: expectedSha256 });
    },
  );
});

describe('a shard whose transfer is interrupted', () => {
  // With one slice, all 720 training images form a single shard of 2.2 MB, sent in three chunks.
  const oneShard = { slices: 1, dataset: synthesizeDataset({ trainingImages: 800, testImages: 10 }) };

  it('is sent again, and the weights are those of a run without faults', async () => {
    const reference = await startFaulted(oneShard);
    await reference.start('w1');
    const { weightsSha256 } = await reference.finish();

    const cluster = await startFaulted(oneShard);
    const worker = await cluster.start('w1');
    const isSecondChunk = ({ point, message }: LinkMark) =>
      point === 'middle' && message.type === 'shard-chunk' && message.offset === chunkBytes;
    worker.onceAt(isSecondChunk, () => worker.link.cut());
    expect(await cluster.finish()).toMatchObject({ workersJoined: 2, workersLost: 1, weightsSha256 });
  });
});

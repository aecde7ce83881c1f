// The table of faults: whatever happens to a worker's process or to its socket, and whenever, the weights are those of a
// quiet run. Real processes, the wasm engine; each fault strikes in the very moment that is named, none after a pause.
import { once } from 'node:events';
import { beforeAll, describe, expect, it } from 'vitest';
import type { LinkMark } from '../../cli/machine/chaos/faulty-link.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { chunkBytes } from '../../shared/protocol/messages.js';
import { FakeClock } from '../support/fake-clock.js';
import { passTimeUntil } from '../support/passing-time.js';
import { startFaulted, type FaultedCluster, type FaultedWorker } from '../support/shaken-cluster.js';

let quiet: string;
beforeAll(async () => {
  const cluster = await startFaulted({ minWorkers: 2 });
  await cluster.start('w1');
  await cluster.start('w2');
  quiet = (await cluster.finish()).weightsSha256;
});

type Direction = LinkMark['direction'];
/** A place in a message of a step, counted from 0. */
const at = (direction: Direction, type: string, place: LinkMark['place'], step?: number) => (mark: LinkMark) =>
  mark.direction === direction &&
  mark.message.type === type &&
  mark.place === place &&
  (step === undefined || ('step' in mark.message && mark.message.step === step));

const kill = ({ child }: FaultedWorker) => child.kill('SIGKILL');

/** When SIGKILL strikes the first of two workers. An epoch has 11 steps. */
const phases: [string, (victim: FaultedWorker, cluster: FaultedCluster) => void][] = [
  [
    'before it computes: the weights have come, the order has not',
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
  ['in validation', (victim) => victim.onceAt(at('down', 'evaluate', 'end', 11), () => kill(victim))],
  [
    'in the middle of receiving a shard',
    (victim) =>
      victim.onceAt(at('down', 'shard-chunk', 'middle'), () => {
        kill(victim);
        victim.link.cut();
      }),
  ],
];

describe('the weights are those of a quiet run', () => {
  it.each(phases)('when a worker is killed %s', async (_, arrange) => {
    const cluster = await startFaulted({ minWorkers: 2 });
    const victim = await cluster.startAnnouncing('w1');
    arrange(victim, cluster);
    // The first to come is the first to be asked, where there is work for one alone.
    await once(cluster.coordinator.events, 'worker-joined');
    await cluster.start('w2');
    const lost = once(cluster.coordinator.events, 'worker-lost');
    expect(await cluster.finish()).toMatchObject({ workersJoined: 2, workersLost: 1, weightsSha256: quiet });
    expect((await lost)[0]).toMatchObject({ name: 'w1' });
    expect(victim.child.signalCode).toBe('SIGKILL');
  });

  it('when a worker runs out of its heap in the middle of a slice', async () => {
    const cluster = await startFaulted({ minWorkers: 2 });
    const hungry = await cluster.startHungry('w1', 64);
    const ended = once(hungry.child, 'exit');
    await once(cluster.coordinator.events, 'worker-joined');
    await cluster.start('w2');
    const lost = once(cluster.coordinator.events, 'worker-lost');
    expect(await cluster.finish()).toMatchObject({ workersJoined: 2, workersLost: 1, weightsSha256: quiet });
    expect((await lost)[0]).toMatchObject({ name: 'w1', reason: 'connection closed (1006)' });
    // V8 aborts the process.
    expect((await ended)[1]).toBe('SIGABRT');
  });

  it('when a worker is frozen for longer than the silence limit, taken for dead, and thawed', async () => {
    const clock = new FakeClock();
    const cluster = await startFaulted({ minWorkers: 2, clock });
    const { coordinator } = cluster;
    const frozen = await cluster.start('w1');
    // Holds the third step open, so that it cannot end before the frozen worker is back.
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
    other.child.send('go on');
    expect(await cluster.finish()).toMatchObject({ workersJoined: 3, workersLost: 1, weightsSha256: quiet });
  });

  it('when a socket stalls: open, but nothing passes; the worker notices too, and joins on a new one', async () => {
    const clock = new FakeClock();
    // The worker's own limit, in real time, is the same.
    const cluster = await startFaulted({ minWorkers: 2, heartbeatInterval: 0.5, heartbeatTimeout: 2.5, clock });
    const { coordinator } = cluster;
    const stalled = await cluster.start('w1');
    const other = await cluster.startAnnouncing('w2', 2);
    const told: string[] = [];
    coordinator.events.on('worker-joined', ({ name }) => told.push(name));
    coordinator.events.on('worker-lost', ({ name, reason }) => told.push(`${name}: ${reason}`));
    const lost = once(coordinator.events, 'worker-lost');
    await new Promise<void>((resolve) =>
      stalled.onceAt(at('up', 'gradient', 'middle', 3), () => {
        stalled.link.stall();
        resolve();
      }),
    );
    await passTimeUntil(lost, { coordinator, clock, alive: ['w2'] });
    expect(told).toContain('w1: silent for more than 2.5 s');
    // It may have noticed before.
    await expect.poll(() => told.filter((name) => name === 'w1')).toHaveLength(2);
    other.child.send('go on');
    expect((await cluster.finish()).weightsSha256).toBe(quiet);
  });

  it('when all workers are gone and two new ones come', async () => {
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
    expect(await cluster.finish()).toMatchObject({ workersJoined: 4, workersLost: 2, weightsSha256: quiet });
  });

  it.each([
    ['a gradient', 'up', 'gradient'],
    ['the weights', 'down', 'weights'],
    ['an order', 'down', 'compute'],
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
      other.child.send('go on');
      expect(await cluster.finish()).toMatchObject({ workersJoined: 3, workersLost: 1, weightsSha256: quiet });
    },
  );
});

describe('a shard whose transfer is cut', () => {
  // One slice of 720 images: a shard of 2.2 MB, which is three chunks.
  const oneShard = { slices: 1, dataset: synthesizeDataset({ trainingImages: 800, testImages: 10 }) };

  it('comes again, and the weights are those of a quiet run', async () => {
    const quietCluster = await startFaulted(oneShard);
    await quietCluster.start('w1');
    const { weightsSha256 } = await quietCluster.finish();

    const cluster = await startFaulted(oneShard);
    const worker = await cluster.start('w1');
    const isSecondChunk = ({ place, message }: LinkMark) =>
      place === 'middle' && message.type === 'shard-chunk' && message.offset === chunkBytes;
    worker.onceAt(isSecondChunk, () => worker.link.cut());
    expect(await cluster.finish()).toMatchObject({ workersJoined: 2, workersLost: 1, weightsSha256 });
  });
});

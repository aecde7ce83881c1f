// Measures what one open dashboard page costs the coordinator: bytes and CPU time per second at the maximum update
// rate, with few and with many workers. Workers and steps are simulated; status, step tracker, feed and socket are
// real. The page is a separate process that reads everything and draws nothing.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Feed, minPauseMs } from '../../coordinator/monitoring/dashboard/feed.js';
import { RunHistory } from '../../coordinator/monitoring/dashboard/run-history.js';
import { WatchSockets } from '../../coordinator/monitoring/dashboard/watch-sockets.js';
import { StatusReporter } from '../../coordinator/monitoring/status-reporter.js';
import { StepTracker } from '../../coordinator/monitoring/step-tracker.js';
import { metricsLineOf } from '../../coordinator/run/metrics-lines.js';
import { RunEventBus } from '../../coordinator/run/run-event-bus.js';
import { RunTotals } from '../../coordinator/run/run-totals.js';
import { zeroPhases } from '../../coordinator/run/step-phases.js';
import { RunSchedule } from '../../coordinator/training/run-schedule.js';
import { WeightsEncoder } from '../../coordinator/connections/step-weights.js';
import { WorkerPool } from '../../coordinator/connections/worker-pool.js';
import { resolveConfig } from '../../shared/config/config.js';
import type { LiveState } from '../../shared/monitoring/messages.js';
import { FakeClock } from '../support/fake-clock.js';
import { ScriptedWorker } from '../support/scripted-worker.js';

const imagesPerSlice = 32;
/** Updates per step: one when half of the slices are answered, and one after the step. */
const updatesPerStep = 2;
const warmUpSteps = 100;
const measuredSteps = 500;

export async function benchFeed(): Promise<void> {
  process.stdout.write(
    `one open page; ${cpus().length} cores, ${cpus()[0]?.model ?? 'unknown'}, ` +
      `Node.js ${process.versions.node}; ${updatesPerStep * measuredSteps} updates\n` +
      'workers  slices  bytes per update  CPU µs per update  updates/s  kB/s  CPU of a core\n',
  );
  for (const [workerCount, sliceCount] of [
    [2, 4],
    [64, 64],
  ]) {
    const { bytes, cpuMicroseconds } = await measure(workerCount, sliceCount);
    const updates = updatesPerStep * measuredSteps;
    const perSecond = 1000 / minPauseMs;
    const cells = [
      String(workerCount).padStart(7),
      String(sliceCount).padStart(6),
      (bytes / updates).toFixed(0).padStart(16),
      (cpuMicroseconds / updates).toFixed(0).padStart(17),
      perSecond.toFixed(0).padStart(9),
      ((bytes / updates) * (perSecond / 1000)).toFixed(1).padStart(5),
      `${((100 * cpuMicroseconds * perSecond) / updates / 1e6).toFixed(2)}%`.padStart(13),
    ];
    process.stdout.write(`${cells.join('  ')}\n`);
  }
}

async function measure(workerCount: number, sliceCount: number): Promise<{ bytes: number; cpuMicroseconds: number }> {
  const clock = new FakeClock();
  const pool = new WorkerPool();
  const events = new RunEventBus();
  const shards = Array.from({ length: sliceCount }, (_, slice) => slice.toString(16).padStart(64, '0'));
  const world = {
    pool,
    clock,
    shards,
    imagesPerSlice,
    answer: (_step: number, range: { count: number }) => ({
      payload: Float32Array.of(0),
      sampleCount: range.count * imagesPerSlice,
      lossSums: Array.from({ length: range.count }, () => 64),
    }),
  };
  const slicesEach = sliceCount / workerCount;
  const workers = Array.from({ length: workerCount }, (_, index) => {
    const isHeld = (slice: number) => Math.floor(slice / slicesEach) === index || slice % workerCount === index;
    const worker = new ScriptedWorker(
      world,
      `worker-${index}`,
      shards.filter((_shard, slice) => isHeld(slice)),
      40,
    );
    return { worker, range: { first: index * slicesEach, count: slicesEach } };
  });
  const config = resolveConfig({ slices: sliceCount, batchSize: sliceCount * imagesPerSlice, steps: 100_000 });
  const state = { step: 0, imagesSeen: 0, validation: null };
  const tracker = new StepTracker(events, clock);
  const status = new StatusReporter(
    {
      id: 'bench',
      directory: { directory: 'runs/bench' },
      setup: {
        config,
        store: { shards: shards.map((sha256, index) => ({ split: 'training', index, sha256, bytes: 1 })) },
      },
      schedule: new RunSchedule(config, 351),
      state,
      totals: new RunTotals(null),
      pool,
      quorum: { needed: workerCount },
      tracker,
      clock,
    },
    events,
  );
  const feed = new Feed({
    clock,
    greeting: { type: 'ended', ending: { how: 'failed', message: 'a benchmark' } },
    readHistory: () => Promise.resolve(new RunHistory()),
    live: (): LiveState => ({
      status: status.snapshot(),
      control: 'running',
      step: tracker.shown ?? null,
      lastRecovery: tracker.lastRecovery ?? null,
    }),
  });
  events.on('event', (event) => {
    const line = metricsLineOf(event);
    if (line === undefined) feed.changed();
    else feed.add(line);
  });
  events.publish({ type: 'phase', phase: 'training' });
  const page = await openPage(feed);

  let cpuMicroseconds = 0;
  /** Sends an update and measures its CPU time. The clock advances only here. */
  const update = async () => {
    const before = process.cpuUsage();
    clock.advance(minPauseMs);
    const { user, system } = process.cpuUsage(before);
    cpuMicroseconds += user + system;
    await page.drained();
  };
  const answer = (answering: typeof workers) => {
    for (const { worker, range } of answering) {
      while (worker.answer());
      const { id, name } = worker.connection;
      events.publish({ type: 'answer-handled', worker: { id, name }, range, counted: true, remaining: 0 });
    }
  };
  const encoder = new WeightsEncoder();
  let bytesBefore = 0;
  for (let turn = 0; turn < warmUpSteps + measuredSteps; turn++) {
    if (turn === warmUpSteps) {
      cpuMicroseconds = 0;
      bytesBefore = page.bytes();
    }
    events.publish({ type: 'step-started' });
    const weights = encoder.encode(state.step, new Float32Array(), new Float32Array());
    for (const { worker, range } of workers) {
      const { id, name } = worker.connection;
      events.publish({ type: 'work-assigned', worker: { id, name }, ranges: [range], reason: 'assigned' });
      worker.connection.compute(weights, [range]);
    }
    answer(workers.slice(0, workerCount / 2));
    await update();
    answer(workers.slice(workerCount / 2));
    events.publish({ type: 'gradient-collected' });
    state.step++;
    state.imagesSeen += config.batchSize;
    const { step } = state;
    const metrics = { loss: 7 / 3 / step, accuracy: 1 / 3, imagesPerSecond: 1234.5678901234 / step };
    const rest = { epoch: 1, learningRate: 0.1, phases: zeroPhases(), contributions: [] };
    events.publish({ type: 'step', step, ...metrics, ...rest });
    await update();
  }
  const bytes = page.bytes() - bytesBefore;
  await page.close();
  return { bytes, cpuMicroseconds };
}

/** Opens a page in a separate process. */
async function openPage(feed: Feed) {
  const sockets = new WatchSockets();
  const http = createServer();
  let bytes = 0;
  let bufferedBytes = () => 0;
  http.on('upgrade', (request, socket, head) => {
    sockets.accept(request, socket, head, (subscriber) => {
      const counting = {
        send(text: string) {
          bytes += Buffer.byteLength(text);
          subscriber.send(text);
        },
        get bufferedBytes() {
          return subscriber.bufferedBytes;
        },
        close: () => subscriber.close(),
      };
      bufferedBytes = () => subscriber.bufferedBytes;
      void feed.subscribe(counting).then(() => http.emit('joined'));
      return () => feed.unsubscribe(counting);
    });
  });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  const reader = fork(fileURLToPath(new URL('./feed-reader.js', import.meta.url)));
  reader.send(`ws://127.0.0.1:${(http.address() as AddressInfo).port}`);
  await once(http, 'joined');
  return {
    bytes: () => bytes,
    async drained() {
      do await new Promise((resolve) => setImmediate(resolve));
      while (bufferedBytes() > 0);
    },
    async close() {
      const exited = once(reader, 'exit');
      await sockets.close();
      http.close();
      reader.kill();
      await exited;
    },
  };
}

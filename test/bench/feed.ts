// What one open page costs the coordinator, by itself: bytes and CPU time a second, at as many updates a second as there
// can be, with few and with many workers. Workers and steps are played; status, view, feed and socket are the real ones,
// and the page is another process that reads all and draws nothing.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Feed, minPauseMs } from '../../coordinator/monitoring/dashboard/feed.js';
import { RunRecord } from '../../coordinator/monitoring/dashboard/run-record.js';
import { StepTracker } from '../../coordinator/monitoring/dashboard/step-tracker.js';
import { WatchSockets } from '../../coordinator/monitoring/dashboard/watch-sockets.js';
import type { RunDirectory } from '../../coordinator/run/run-directory.js';
import { RunEventBus } from '../../coordinator/run/run-event-bus.js';
import { StatusReporter } from '../../coordinator/monitoring/status-reporter.js';
import { WorkerPool } from '../../coordinator/connections/worker-pool.js';
import { resolveConfig } from '../../shared/config/config.js';
import { encodeFrame } from '../../shared/protocol/frame.js';
import type { LiveState } from '../../shared/monitoring/messages.js';
import { FakeClock } from '../support/fake-clock.js';
import { ScriptedWorker } from '../support/scripted-worker.js';

const imagesPerSlice = 32;
/** Two updates a step: one while half of its slices are answered, one when it is over. */
const updatesPerStep = 2;
const warmUpSteps = 100;
const measuredSteps = 500;

export async function benchFeed(): Promise<void> {
  process.stdout.write(
    `one page that is told everything; ${cpus().length} cores, ${cpus()[0]?.model ?? 'unknown'}, ` +
      `Node.js ${process.versions.node}; ${updatesPerStep * measuredSteps} updates\n` +
      'workers  slices  bytes an update  CPU µs an update  updates/s  kB/s  CPU of a core\n',
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
      (bytes / updates).toFixed(0).padStart(15),
      (cpuMicroseconds / updates).toFixed(0).padStart(16),
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
  const journal = new RunEventBus({} as RunDirectory, pool);
  journal.begins('training');
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
  const workers = Array.from({ length: workerCount }, (_, id) => {
    const held = shards.filter((_shard, slice) => Math.floor(slice / slicesEach) === id || slice % workerCount === id);
    return new ScriptedWorker(world, id, held, 40);
  });
  const painter = new StepTracker(clock);
  const slices = shards.map((_, slice) => ({
    workers: [Math.floor(slice / slicesEach)],
    answeredBy: null as number | null,
  }));
  let step = 0;
  const board = new StatusReporter({
    id: 'bench',
    directory: 'runs/bench',
    pool,
    clock,
    config: resolveConfig({ slices: sliceCount, batchSize: sliceCount * imagesPerSlice, steps: 100_000 }),
    store: {
      shards: shards.map((sha256, index) => ({ split: 'training', index, sha256, bytes: 1 })),
      stepsPerEpoch: 351,
    },
    run: {
      journal,
      totalSteps: 100_000,
      get step() {
        return step;
      },
      get epoch() {
        return 1 + Math.floor(step / 351);
      },
      get standing() {
        const imagesSeen = step * sliceCount * imagesPerSlice;
        const round = { slices, isLate: () => false } as never;
        return { imagesSeen, validation: null, workersNeeded: workerCount, learningRate: 0.1, round };
      },
    },
  });
  const feed = new Feed({
    clock,
    greeting: { type: 'ended', ending: { how: 'failed', message: 'a bench', report: null } },
    record: () => Promise.resolve(new RunRecord()),
    live: (): LiveState => ({
      status: board.snapshot(),
      control: 'running',
      view: painter.toShow ?? null,
      eventful: painter.latestEventful ?? null,
    }),
  });
  painter.onChange = () => feed.changed();
  const page = await openPage(feed);

  let cpuMicroseconds = 0;
  /** Everything else that happens is in no time. */
  const update = async () => {
    const before = process.cpuUsage();
    clock.advance(minPauseMs);
    const { user, system } = process.cpuUsage(before);
    cpuMicroseconds += user + system;
    await page.drained();
  };
  const answer = (from: number, to: number) => {
    for (const worker of workers.slice(from, to)) {
      while (worker.answer());
      const { id } = worker.connection;
      for (const slice of slices) if (slice.workers[0] === id) slice.answeredBy = id;
      painter.answered(worker.connection, { first: id * slicesEach, count: slicesEach }, true);
    }
  };
  let bytesBefore = 0;
  for (let turn = 0; turn < warmUpSteps + measuredSteps; turn++) {
    if (turn === warmUpSteps) {
      cpuMicroseconds = 0;
      bytesBefore = page.bytes();
    }
    painter.begins(step);
    const weights = { step, message: encodeFrame({ type: 'weights', step }) };
    for (const slice of slices) slice.answeredBy = null;
    for (const { connection } of workers) {
      const range = { first: connection.id * slicesEach, count: slicesEach };
      connection.compute(weights, [range]);
      painter.asked(connection, [range], 'assigned');
    }
    answer(0, workerCount / 2);
    await update();
    answer(workerCount / 2, workerCount);
    painter.ends();
    step++;
    const metrics = { step, epoch: 1, loss: 7 / 3 / step, accuracy: 1 / 3, learningRate: 0.1 };
    feed.add({ type: 'step', time: new Date().toISOString(), ...metrics, imagesPerSecond: 1234.5678901234 / step });
    await update();
  }
  const bytes = page.bytes() - bytesBefore;
  await page.close();
  return { bytes, cpuMicroseconds };
}

/** A page in a process of its own. */
async function openPage(feed: Feed) {
  const sockets = new WatchSockets();
  const http = createServer();
  let bytes = 0;
  let bufferedBytes = () => 0;
  http.on('upgrade', (request, socket, head) => {
    sockets.accept(request, socket, head, (watcher) => {
      const counting = {
        send(text: string) {
          bytes += Buffer.byteLength(text);
          watcher.send(text);
        },
        get bufferedBytes() {
          return watcher.bufferedBytes;
        },
        close: () => watcher.close(),
      };
      bufferedBytes = () => watcher.bufferedBytes;
      void feed.join(counting).then(() => http.emit('joined'));
      return () => feed.leave(counting);
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
      feed.close();
      http.close();
      reader.kill();
      await exited;
    },
  };
}

// Benchmarks the exchange alone: the coordinator sends weights, receives gradients and adds up partial sums, without
// computation or weight updates. Turns alternate with plain TCP in Node.js, which transfers the same bytes without
// framing or addition. Every worker is a separate process.
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { openAccessPolicy } from '../../coordinator/connections/access-policy.js';
import { startServer } from '../../coordinator/connections/server.js';
import { encodeWeights } from '../../coordinator/connections/weights-frame.js';
import { WorkerPool } from '../../coordinator/connections/worker-pool.js';
import { WorkerQuorum } from '../../coordinator/connections/worker-quorum.js';
import { SliceScheduler } from '../../coordinator/scheduling/slice-scheduler.js';
import { Dispatcher } from '../../coordinator/training/dispatcher.js';
import { GradientJob } from '../../coordinator/training/gradient-job.js';
import { cifar10Format, cifar10Description } from '../../shared/dataset/cifar10-layout.js';
import { systemClock } from '../../shared/clock.js';
import { medianOf } from '../../shared/median.js';
import { resolveConfig, workerConfigOf } from '../../shared/config/config.js';
import { layoutHash } from '../../shared/network/layout-hash.js';
import { layoutModel } from '../../shared/network/layout.js';
import { encodeFrame } from '../../shared/protocol/frame.js';
import { maxWorkerMessageBytes, type Shard } from '../../shared/protocol/messages.js';
import { sha256Of } from '../../shared/sha256.js';

const { recordBytes } = cifar10Format;

const workerCounts = [1, 2, 4, 8];
const turns = 5;
const warmUpSteps = 30;
const measuredSteps = 100;

const recipe = { convBias: false };
const layout = layoutModel(resolveConfig(recipe), cifar10Format);
const weights = encodeWeights(0, new Float32Array(layout.trainableSize), new Float32Array(layout.statisticsSize));

interface Exchange {
  /** Runs one step with all workers. */
  step(): Promise<void>;
  close(): Promise<void>;
}

export async function benchExchange(): Promise<void> {
  const model = cpus()[0]?.model ?? 'unknown';
  process.stdout.write(
    `exchange of the weights and gradients of ResNet-20 (${weights.message.length} bytes per direction and worker), ` +
      `${cpus().length} cores, ${model}, Node.js ${process.versions.node}; ` +
      `medians of ${turns} turns of ${measuredSteps} steps\n` +
      'workers  plain TCP ms  Lockstep ms  Lockstep/TCP rate  Lockstep GB/s\n',
  );
  for (const workers of workerCounts) {
    const plain = await startPlain(workers);
    const lockstep = await startLockstep(workers);
    const times: Record<'plain' | 'lockstep', number[]> = { plain: [], lockstep: [] };
    for (let turn = 0; turn < turns; turn++) {
      times.plain.push(await stepMs(plain));
      times.lockstep.push(await stepMs(lockstep));
    }
    await plain.close();
    await lockstep.close();
    const [plainMs, lockstepMs] = [medianOf(times.plain), medianOf(times.lockstep)];
    const gigabytes = (2 * workers * weights.message.length) / lockstepMs / 1e6;
    const cells = [plainMs.toFixed(2), lockstepMs.toFixed(2), (plainMs / lockstepMs).toFixed(2), gigabytes.toFixed(2)];
    process.stdout.write(`${String(workers).padStart(7)}  ${cells.map((cell) => cell.padStart(12)).join(' ')}\n`);
  }
}

async function stepMs(exchange: Exchange): Promise<number> {
  for (let step = 0; step < warmUpSteps; step++) await exchange.step();
  const started = performance.now();
  for (let step = 0; step < measuredSteps; step++) await exchange.step();
  return (performance.now() - started) / measuredSteps;
}

function forkWorker(...args: string[]): ChildProcess {
  // collectYoungGeneration needs `gc`; the command line exposes it too.
  return fork(fileURLToPath(new URL('./exchange-worker.js', import.meta.url)), args, { execArgv: ['--expose-gc'] });
}

async function endAll(children: readonly ChildProcess[]): Promise<void> {
  await Promise.all(
    children.map(async (child) => {
      const exited = once(child, 'exit');
      child.kill();
      await exited;
    }),
  );
}

/** Starts the coordinator's real server, worker pool and dispatcher, with one slice of one image per worker. */
async function startLockstep(workerCount: number): Promise<Exchange> {
  const pool = new WorkerPool();
  const records = Array.from({ length: workerCount }, (_, slice) => new Uint8Array(recordBytes).fill(slice));
  const shards = records.map((bytes, index): Shard => ({
    split: 'training',
    index,
    sha256: sha256Of(bytes),
    bytes: bytes.length,
  }));
  const config = resolveConfig({ ...recipe, slices: workerCount, batchSize: workerCount });
  const settings = {
    shardRecords: new Map(shards.map((shard, index) => [shard.sha256, records[index]])),
    imagesPerSlice: 1,
    heartbeatIntervalMs: 2_000,
    heartbeatTimeoutMs: 10_000,
    clock: systemClock,
  };
  const server = await startServer({
    access: openAccessPolicy({ port: 0 }),
    admission: {
      maxMessageBytes: maxWorkerMessageBytes(layout, workerCount),
      isFull: () => false,
      admit(joining) {
        const worker = pool.connect(joining, settings);
        worker.send({
          type: 'welcome',
          workerId: worker.id,
          runId: 'bench',
          layoutHash: layoutHash(layout),
          config: workerConfigOf(config),
          dataset: cifar10Description,
          stepsPerEpoch: 1,
          shards,
        });
        worker.useEngine(worker.offers[0]);
        pool.add(worker);
        return undefined;
      },
    },
    served: { status: () => ({}), notReady: () => undefined },
    clock: systemClock,
    onAccess: () => undefined,
  });
  const { signal } = new AbortController();
  const children = Array.from({ length: workerCount }, () => forkWorker('lockstep', `ws://127.0.0.1:${server.port}`));
  const quorum = new WorkerQuorum(pool, systemClock, undefined, {
    onWaiting: () => undefined,
    onEnough: () => undefined,
    onTimeout: () => undefined,
  });
  quorum.need(workerCount);
  await quorum.reached(signal);
  const scheduler = new SliceScheduler(
    shards.map(({ sha256 }) => sha256),
    1,
  );
  const dispatcher = new Dispatcher(pool, systemClock, 0, signal);
  let step = 0;
  return {
    async step() {
      // Every step encodes a new frame, as in a real run, although the values do not change.
      const frame = { step, message: encodeFrame({ type: 'weights', step }, weightsBytes) };
      await dispatcher.run(new GradientJob(frame, layout, scheduler, systemClock, () => undefined));
      step++;
    },
    async close() {
      await Promise.all(pool.workers.map((worker) => worker.goodbye('done')));
      await endAll(children.filter((child) => child.exitCode === null && child.signalCode === null));
      await server.close();
    },
  };
}

const weightsBytes = new Uint8Array(4 * (layout.trainableSize + layout.statisticsSize));

/** Starts plain TCP workers. Each reads as many bytes as the weights message has, and sends as many bytes back. */
async function startPlain(workerCount: number): Promise<Exchange> {
  const sockets: Socket[] = [];
  const server = createServer({ noDelay: true }, (socket) => sockets.push(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const children = Array.from({ length: workerCount }, () =>
    forkWorker('plain', String(port), String(weights.message.length)),
  );
  while (sockets.length < workerCount) await once(server, 'connection');
  return {
    async step() {
      await Promise.all(
        sockets.map(
          (socket) =>
            new Promise<void>((resolve) => {
              let received = 0;
              const onData = (chunk: Buffer) => {
                received += chunk.length;
                if (received < weights.message.length) return;
                socket.off('data', onData);
                resolve();
              };
              socket.on('data', onData);
              socket.write(weights.message);
            }),
        ),
      );
    },
    async close() {
      await endAll(children);
      server.close();
    },
  };
}

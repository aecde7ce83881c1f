// The exchange benchmark's Lockstep side: the coordinator's real server, worker pool and dispatcher, and real workers whose
// engine computes nothing.
import { openAccessPolicy } from '../../coordinator/connections/access-policy.js';
import { startServer } from '../../coordinator/connections/server.js';
import { WeightsEncoder } from '../../coordinator/connections/step-weights.js';
import { WorkerPool } from '../../coordinator/connections/worker-pool.js';
import { WorkerQuorum } from '../../coordinator/connections/worker-quorum.js';
import { SliceScheduler } from '../../coordinator/scheduling/slice-scheduler.js';
import { Dispatcher } from '../../coordinator/training/dispatcher.js';
import { GradientJob } from '../../coordinator/training/gradient-job.js';
import { systemClock } from '../../shared/clock.js';
import { cifar10Description, cifar10Format } from '../../shared/dataset/cifar10-layout.js';
import { workerConfigOf, type Config } from '../../shared/config/config.js';
import { layoutHash } from '../../shared/network/layout-hash.js';
import { graphOf } from '../../shared/config/network-config.js';
import { encodeGraph } from '../../shared/network/graph-json.js';
import { layoutNetwork } from '../../shared/network/layout.js';
import { maxWorkerMessageBytes, type Shard } from '../../shared/protocol/messages.js';
import { sha256Of } from '../../shared/sha256.js';
import { endAll, forkWorker, type Exchange } from './exchange-processes.js';

/** Starts the coordinator's real server, worker pool and dispatcher, with one slice of one image per worker. */
export async function startLockstep(config: Config, workerCount: number): Promise<Exchange> {
  const layout = layoutNetwork(graphOf(config), cifar10Format);
  const network = encodeGraph(layout.graph);
  const weights = new Float32Array(layout.weightsSize);
  const movingStatistics = new Float32Array(layout.statisticsSize);
  const pool = new WorkerPool();
  const records = Array.from({ length: workerCount }, (_, slice) =>
    new Uint8Array(cifar10Format.recordBytes).fill(slice),
  );
  const shards = records.map((bytes, index): Shard => ({
    split: 'training',
    index,
    sha256: sha256Of(bytes),
    bytes: bytes.length,
  }));
  const settings = {
    shardRecords: new Map(shards.map((shard, index) => [shard.sha256, records[index]])),
    imagesPerSlice: () => 1,
    heartbeatIntervalMs: 2_000,
    heartbeatTimeoutMs: 10_000,
    clock: systemClock,
  };
  const server = await startServer({
    access: openAccessPolicy({ port: 0 }),
    admission: {
      maxMessageBytes: maxWorkerMessageBytes(layout, workerCount, 'float32'),
      isFull: () => false,
      admit(joining) {
        const worker = pool.connect(joining, settings);
        worker.send(
          {
            type: 'welcome',
            workerId: worker.id,
            runId: 'bench',
            networkBytes: network.length,
            layoutHash: layoutHash(layout),
            config: workerConfigOf(config),
            dataset: cifar10Description,
            stepsPerEpoch: 1,
            shards,
          },
          network,
        );
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
  const encoder = new WeightsEncoder();
  let step = 0;
  return {
    async step() {
      // Every step encodes the weights, as in a real run, although the values do not change.
      const frames = encoder.encode(step, weights, movingStatistics);
      await dispatcher.run(new GradientJob(frames, layout, scheduler, systemClock, () => undefined));
      step++;
    },
    async close() {
      await Promise.all(pool.workers.map((worker) => worker.goodbye('done')));
      await endAll(children.filter((child) => child.exitCode === null && child.signalCode === null));
      await server.close();
    },
  };
}

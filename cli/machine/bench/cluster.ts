// A whole cluster on loopback: the library's train, with real processes and sockets, ended when enough was measured.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Cifar10 } from '../../../shared/dataset/cifar10.js';
import { synthesizeDataset } from '../../../shared/dataset/synthesize.js';
import type { EngineIdentity } from '../../../shared/protocol/engine-identity.js';
import { LockstepError } from '../../../shared/errors.js';
import { train, type Training } from '../../../single-node/train.js';
import { onStopSignals } from '../../process/stop-signals.js';
import { measurementOf, type BenchOptions, type Measurement } from './measurement.js';
import { StepRounds } from './step-rounds.js';

/** Drawn in half a second; an epoch of 64 default steps, as a checkpoint is written at an epoch's end. */
const imageCount = 8192;

export interface ClusterOptions extends BenchOptions {
  /** Worker processes, one a GPU where GPUs are named. */
  workers: number;
  gpus: string | undefined;
}

/** Leaves nothing on the disk, interrupted or not. */
export async function benchCluster(options: ClusterOptions): Promise<Measurement> {
  const trainingImages = Math.max(imageCount, options.config.batchSize);
  const dataset = synthesizeDataset({ trainingImages, testImages: 1 });
  const folder = await mkdtemp(path.join(tmpdir(), 'lockstep-bench-'));
  try {
    return await withCacheIn(folder, () => measureIn(folder, dataset, options));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function measureIn(folder: string, dataset: Cifar10, options: ClusterOptions): Promise<Measurement> {
  const { config, engine, threads, precision, tensorFlowMode, xla, workers, gpus, plan, onRound } = options;
  const run = await train({
    ...config,
    // Stopped when enough was measured.
    steps: Number.MAX_SAFE_INTEGER,
    validationSplit: 0,
    runDir: path.join(folder, 'run'),
    dataset,
    engine,
    threads,
    precision,
    tensorFlowMode,
    xla,
    ...(gpus === undefined ? { workers } : { gpus }),
  });
  const rounds = new StepRounds(plan, config.batchSize);
  const measured = new LockstepError('interrupted', 'the measurement is complete');
  const firstWorker = new Promise<EngineIdentity>((resolve) => run.events.once('worker-joined', resolve));
  run.events.on('step', ({ phases }) => {
    if (rounds.add({ ...phases })) onRound(rounds.imagesPerSecond.length);
    if (rounds.isComplete) run.stop(measured);
  });
  run.processes.on('workerExited', ({ name, how, why }) => {
    const reason = why === '' ? how : why;
    run.stop(new LockstepError('workers-failed', `${name} ended before the measurement was complete: ${reason}`));
  });
  const stopListening = stopOnSignals(run);
  try {
    await run.report;
  } catch (error) {
    if (error !== measured) throw error;
  } finally {
    stopListening();
  }
  return measurementOf(rounds, options, await firstWorker, workers);
}

function stopOnSignals(run: Training): () => void {
  return onStopSignals(
    (signal) => run.stop(new LockstepError('interrupted', `interrupted by ${signal}`)),
    () => run.kill(),
  );
}

/** Worker processes look for their cache of shards where the environment says: these drawn shards are not worth keeping. */
async function withCacheIn<Result>(folder: string, use: () => Promise<Result>): Promise<Result> {
  const before = process.env['XDG_CACHE_HOME'];
  process.env['XDG_CACHE_HOME'] = folder;
  try {
    return await use();
  } finally {
    if (before === undefined) delete process.env['XDG_CACHE_HOME'];
    else process.env['XDG_CACHE_HOME'] = before;
  }
}

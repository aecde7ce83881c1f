// Measures a cluster over loopback: trains with real worker processes and sockets until all rounds have been measured.
import path from 'node:path';
import type { EngineIdentity } from '../../../shared/protocol/engine-identity.js';
import { LockstepError } from '../../../shared/errors.js';
import { train } from '../../../single-node/train.js';
import { interruptedBy, onStopSignals } from '../../process/stop-signals.js';
import { withTemporaryFolder } from '../../process/temporary-folder.js';
import { benchDataset } from './bench-images.js';
import { measurementOf, type BenchOptions, type Measurement } from './measurement.js';
import { RoundRecorder } from './round-recorder.js';

/**
 * Approximate size of the training images, which are synthesized in half a second. With images of CIFAR-10 and the
 * default batch size, an epoch then has 64 steps, so that saving a checkpoint at its end takes a small share of the time.
 */
const imageBytes = 24 << 20;

export interface ClusterOptions extends BenchOptions {
  /** Number of worker processes. */
  workers: number;
  /** GPUs to use, with one worker each; undefined for workers on the CPU. */
  gpus: string | undefined;
}

export function benchCluster(options: ClusterOptions): Promise<Measurement> {
  return withTemporaryFolder('lockstep-bench-', (folder) => measureIn(folder, options));
}

async function measureIn(folder: string, options: ClusterOptions): Promise<Measurement> {
  const { config, imageShape, workers, gpus, plan, onRound, onMessage, ...engineChoice } = options;
  const run = await train({
    ...config,
    // No limit: the run is stopped when the measurement is complete.
    steps: Number.MAX_SAFE_INTEGER,
    validationSplit: 0,
    runDir: path.join(folder, 'run'),
    dataset: benchDataset(imageShape, imageBytes, config.batchSize),
    ...engineChoice,
    ...(gpus === undefined ? { workers } : { gpus }),
  });
  const rounds = new RoundRecorder(plan, config.batchSize);
  const isMeasured = new LockstepError('interrupted', 'the measurement is complete');
  const firstWorker = new Promise<EngineIdentity>((resolve) => run.events.once('engine-assigned', resolve));
  run.events.on('measuring-engines', ({ engines }) => onMessage(`measuring ${engines.join(', ')}`));
  run.events.on('step', ({ phases }) => {
    if (rounds.add({ ...phases })) onRound(rounds.imagesPerSecond.length);
    if (rounds.isComplete) run.stop(isMeasured);
  });
  run.processes.on('workerExited', ({ name, how, why }) => {
    const reason = why === '' ? how : why;
    run.stop(new LockstepError('workers-failed', `${name} exited before the measurement was complete: ${reason}`));
  });
  const ignoreSignals = onStopSignals(
    (signal) => run.stop(interruptedBy(signal)),
    () => run.kill(),
  );
  try {
    await run.report;
  } catch (error) {
    if (error !== isMeasured) throw error;
  } finally {
    ignoreSignals();
  }
  return measurementOf(rounds, options, await firstWorker, workers);
}

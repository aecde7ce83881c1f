// startEvaluation: evaluates a checkpoint with workers, without training, in the same way as a run does after an epoch.
import { systemClock, type Clock } from '../shared/clock.js';
import { resolveConfig } from '../shared/config/config.js';
import { resolveDataset } from '../datasets/read-dataset.js';
import { readOptionsOf, type DatasetHandlers } from '../datasets/read-options.js';
import { differenceBetween } from '../shared/dataset/description-schema.js';
import type { Dataset } from '../shared/dataset/description.js';
import type { TestTimeAugmentation } from '../shared/dataset/test-time-augmentation.js';
import { LockstepError } from '../shared/errors.js';
import type { EngineCount } from '../shared/protocol/engine-identity.js';
import { shardsBytesOf, type Shard } from '../shared/protocol/messages.js';
import { lockstepVersion } from '../shared/version.js';
import { openAccessPolicy, type AccessOptions } from './connections/access-policy.js';
import { WeightsEncoder } from './connections/step-weights.js';
import type { WorkerQuorum } from './connections/worker-quorum.js';
import { createQuorum } from './create-quorum.js';
import { splitEvaluation, type EvaluationSplit } from './dataset/shard-store.js';
import { outcomeOf, type Outcome } from './run/evaluation-report.js';
import { loadCheckpoint, type Checkpoint } from './run/checkpoints/load-checkpoint.js';
import type { EvaluatedShard } from './run/metrics.js';
import { RunEventBus } from './run/run-event-bus.js';
import { RunTotals } from './run/run-totals.js';
import { ItemDurations } from './scheduling/straggler-watch.js';
import { CoordinatorSession } from './session.js';
import { sessionSetupOf } from './session-setup.js';
import { Dispatcher } from './training/dispatcher.js';
import { EvaluationJob } from './training/evaluation-job.js';

export interface EvaluationOptions extends AccessOptions, DatasetHandlers {
  /** Path of a checkpoint, or of a run directory to evaluate its newest checkpoint. */
  checkpoint: string;
  /** Split to evaluate; `test` by default. */
  split?: EvaluationSplit | undefined;
  /** Folder with the images; the run's own folder by default. */
  data?: string | undefined;
  /** Images, as an alternative to `data`. */
  dataset?: Dataset | undefined;
  /** Whether to flip and crop validation images; by default, the run's setting. */
  augmentValidation?: boolean | undefined;
  /** Views of each image whose logits are averaged; by default, the run's setting. */
  testTimeAugmentation?: TestTimeAugmentation | undefined;
  /**
   * Maximum time to wait for workers, in milliseconds; after that, the evaluation fails with `no-workers`. No limit by
   * default.
   */
  waitTimeoutMs?: number | undefined;
  clock?: Clock | undefined;
}

/** The result of an evaluation. */
export interface EvaluationReport extends Outcome {
  lockstepVersion: string;
  /** Path of the checkpoint's folder. */
  checkpoint: string;
  step: number;
  /** SHA-256 of the weights and moving statistics; see weightsSha256 in shared/network/layout-hash.ts. */
  weightsSha256: string;
  split: EvaluationSplit;
  /** The source of the images, for display. */
  dataset: string;
  /** Whether the evaluated images are the ones that the checkpoint's run uses for this split. */
  isRunsOwnSplit: boolean;
  engines: EngineCount[];
  wallSeconds: number;
}

export interface Evaluation {
  /** URL for workers on this machine. */
  readonly url: string;
  readonly host: string;
  readonly port: number;
  readonly checkpoint: Checkpoint;
  readonly split: EvaluationSplit;
  readonly images: number;
  /** The source of the images, for display. */
  readonly dataset: string;
  /** Total size of the split's shards in bytes. */
  readonly shardsBytes: number;
  readonly isRunsOwnSplit: boolean;
  /** Publishes `evaluation-progress` and worker events. */
  readonly events: RunEventBus;
  /**
   * Settles when the evaluation has ended and the port is free. After stop(), rejects with the given reason, by default
   * an `interrupted` error.
   */
  readonly report: Promise<EvaluationReport>;
  stop(reason?: LockstepError): void;
}

/**
 * Starts a coordinator that evaluates a checkpoint. Resolves once its port is open; the evaluation starts when the
 * first worker joins. Throws the errors of loadCheckpoint and startCoordinator, and `bad-data` if the split has no
 * images, or if the images or their classes are not those that the model was trained for.
 */
export async function startEvaluation(options: EvaluationOptions): Promise<Evaluation> {
  const { clock = systemClock, waitTimeoutMs } = options;
  const access = openAccessPolicy(options);
  const plan = await planEvaluation(options);
  const { checkpoint, split, images } = plan.summary;
  const events = new RunEventBus();
  const session = new CoordinatorSession(sessionSetupOf(plan.setup), access, events, clock, {
    kind: 'evaluation',
    stopGraceMs: () => 0,
  });
  const { id, pool } = session;
  const quorum = createQuorum(session, events, clock, waitTimeoutMs);
  let done = 0;
  const onShard = ({ sampleCount }: EvaluatedShard) => {
    done += sampleCount;
    events.publish({ type: 'evaluation-progress', done, images });
  };
  await session.listen({
    status: () => ({
      lockstepVersion,
      runId: id,
      evaluating: split,
      step: checkpoint.step,
      done,
      images,
      workers: pool.workers.map(({ name, address, engineDescription: engine }) => ({ name, address, engine })),
    }),
    notReady: () => (pool.size === 0 ? 'no workers are connected' : undefined),
  });
  const report = session.run(() => evaluate(plan, session, quorum, events, clock, onShard));
  // If the caller ignores `report`, its rejection must not end the process.
  report.catch(() => undefined);
  const { url, host, port } = session;
  const shardsBytes = shardsBytesOf(plan.setup.store.shards);
  return { url, host, port, ...plan.summary, shardsBytes, events, report, stop: (reason) => session.stop(reason) };
}

/** Loads the checkpoint and the images to evaluate. */
async function planEvaluation(options: EvaluationOptions) {
  const { split = 'test' } = options;
  const checkpoint = await loadCheckpoint(options.checkpoint);
  const { config: runConfig } = checkpoint;
  const { augmentValidation = runConfig.augmentValidation, testTimeAugmentation = runConfig.testTimeAugmentation } =
    options;
  // The engine may differ from the run's.
  const config = resolveConfig({
    ...runConfig,
    augmentValidation: augmentValidation && split === 'validation',
    testTimeAugmentation,
    engine: 'auto',
    fingerprint: null,
    exact: false,
  });
  const dataset =
    options.dataset ?? (await resolveDataset(options.data ?? config.data ?? undefined, readOptionsOf(config, options)));
  const difference = differenceBetween(dataset.description, checkpoint.dataset);
  if (difference !== undefined) {
    throw new LockstepError(
      'bad-data',
      `${dataset.source} cannot be used with ${checkpoint.path} (${difference}): use \`data\` to specify images like those ` +
        'of the run',
    );
  }
  const { labels, ...shards } = await splitEvaluation(dataset, config, split);
  if (labels.length === 0) throw noImages(checkpoint, split);
  const { preprocessing } = checkpoint;
  const store = { ...shards, preprocessing, stepsPerEpoch: 1, dataset: checkpoint.dataset };
  const isRunsOwnSplit = isOwnSplit(checkpoint, split, store.shards);
  return {
    summary: { checkpoint, split, images: labels.length, dataset: dataset.source, isRunsOwnSplit },
    setup: { config, layout: checkpoint.layout, store },
    labels,
  };
}

function noImages({ path, config }: Checkpoint, split: EvaluationSplit): LockstepError {
  const cause = split === 'validation' ? ` (its run used \`validationSplit\` ${config.validationSplit})` : '';
  return new LockstepError('bad-data', `there are no ${split} images for ${path}${cause}: choose another \`split\``);
}

/**
 * Returns whether these shards are the ones that the checkpoint's run uses for this split. The checkpoint lists the
 * hashes of its shards in the order training, validation, test.
 */
function isOwnSplit({ config, shardHashes }: Checkpoint, split: EvaluationSplit, shards: readonly Shard[]): boolean {
  const evaluated = shardHashes.slice(config.slices);
  const own = split === 'validation' ? evaluated.slice(0, shards.length) : evaluated.slice(-shards.length);
  return own.join() === shards.map(({ sha256 }) => sha256).join();
}

async function evaluate(
  { summary, setup, labels }: Awaited<ReturnType<typeof planEvaluation>>,
  session: CoordinatorSession,
  quorum: WorkerQuorum,
  events: RunEventBus,
  clock: Clock,
  onShard: (shard: EvaluatedShard) => void,
): Promise<EvaluationReport> {
  const { pool, signal } = session;
  const totals = new RunTotals(null);
  events.on('event', (event) => totals.apply(event));
  session.announceWorkers();
  try {
    quorum.need(1);
    await quorum.reached(signal);
    const startedMs = performance.now();
    const { path, step, weights, movingStatistics, weightsSha256 } = summary.checkpoint;
    const frame = new WeightsEncoder().encode(step, weights, movingStatistics);
    const job = new EvaluationJob(summary.split, setup.store, frame, new ItemDurations(), onShard);
    const results = await new Dispatcher(pool, clock, setup.config.stragglerFactor, signal).run(job);
    return {
      lockstepVersion,
      ...summary,
      checkpoint: path,
      step,
      weightsSha256,
      ...outcomeOf(results, labels, setup.store.dataset),
      engines: [...totals.record.engines],
      wallSeconds: (performance.now() - startedMs) / 1000,
    };
  } finally {
    quorum.close();
  }
}

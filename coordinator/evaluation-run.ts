// A coordinator for evaluation alone: deals a split's parts out to workers as a run does between epochs.
import { EventEmitter } from 'node:events';
import { randomUUID } from 'node:crypto';
import { systemClock, type Clock } from '../shared/clock.js';
import { resolveDataset, type Cifar10 } from '../shared/dataset/cifar10.js';
import { recordBytes } from '../shared/dataset/image-batch.js';
import type { EngineCount } from '../shared/protocol/engine-identity.js';
import { LockstepError, messageOf } from '../shared/errors.js';
import { lockstepVersion } from '../shared/version.js';
import { outcomeOf, type Outcome } from './run/evaluation-report.js';
import { evaluateSplit } from './training/evaluate-split.js';
import { loadCheckpoint, type Checkpoint } from './run/load-checkpoint.js';
import { splitEvaluation, type EvaluationSplit } from './dataset/shard-store.js';
import { openAccessPolicy, type AccessOptions } from './connections/access-policy.js';
import { openReception } from './session.js';
import { SliceTimes } from './scheduling/straggler-watch.js';
import { encodeWeights } from './connections/weights-frame.js';
import { waitedTooLong, WorkerQuorum } from './connections/worker-quorum.js';
import { interruption, WorkerPool } from './connections/worker-pool.js';

export interface EvaluationOptions extends AccessOptions {
  /** A checkpoint, or a run's folder, which means its latest. */
  checkpoint: string;
  /** `test` unless said. */
  split?: EvaluationSplit | undefined;
  /** The folder of the images; the run's own unless said. */
  data?: string | undefined;
  /** The images themselves, instead of the folder. */
  dataset?: Cifar10 | undefined;
  /** Whether validation images are flipped and cropped; as in the run unless said. */
  augmentValidation?: boolean | undefined;
  /** Ends a wait for workers that lasts so long (`no-workers`); never unless said. */
  waitTimeoutMs?: number | undefined;
  clock?: Clock | undefined;
}

export interface EvaluationRunEvents {
  /** So many of all images are evaluated. */
  progress: [{ done: number; images: number }];
  workerJoined: [{ name: string; fingerprint: string; workers: number }];
  workerLost: [{ name: string; reason: string; workers: number }];
  waiting: [{ workers: number; needed: number }];
  /** Something about who may come in. */
  door: [{ message: string }];
}

/** What an evaluation came to, for people and for scripts. */
export interface EvaluationReport extends Outcome {
  lockstepVersion: string;
  /** The checkpoint's folder. */
  checkpoint: string;
  step: number;
  /** See weightsSha256 in shared/network/layout-hash.ts. */
  weightsSha256: string;
  split: EvaluationSplit;
  /** Which images, in plain words. */
  dataset: string;
  /** Whether these are the images of this split that the checkpoint's run had. */
  isRunsOwnSplit: boolean;
  /** What computed it; each with the workers that had it. */
  engines: EngineCount[];
  wallSeconds: number;
}

export interface Evaluation {
  /** What a worker on this machine connects to. */
  readonly url: string;
  readonly host: string;
  readonly port: number;
  readonly checkpoint: Checkpoint;
  readonly split: EvaluationSplit;
  readonly images: number;
  /** Which images, in plain words. */
  readonly dataset: string;
  readonly isRunsOwnSplit: boolean;
  readonly events: EventEmitter<EvaluationRunEvents>;
  /** Settles when all is evaluated, the workers are told and the port is free. Rejects with `interrupted` after stop. */
  readonly report: Promise<EvaluationReport>;
  stop(reason?: LockstepError): void;
}

/**
 * Resolves once it listens; the evaluation begins with the first worker. Throws LockstepError as loadCheckpoint and
 * startCoordinator do, and `bad-data` where the split has no images.
 */
export async function startEvaluation(options: EvaluationOptions): Promise<Evaluation> {
  const { split = 'test', host, port, waitTimeoutMs, clock = systemClock } = options;
  const door = openAccessPolicy(options);
  const checkpoint = await loadCheckpoint(options.checkpoint);
  const { augmentValidation = checkpoint.config.augmentValidation } = options;
  // Whatever engine a run held to: here it is the caller's choice.
  const config = { ...checkpoint.config, augmentValidation, exact: false };
  const dataset = options.dataset ?? (await resolveDataset(options.data ?? config.data ?? undefined));
  const { images, ...parts } = splitEvaluation(dataset, config, split);
  if (images.length === 0) {
    const why = split === 'validation' ? ` (its run had --validation-split ${config.validationSplit})` : '';
    throw new LockstepError(
      'bad-data',
      `there are no ${split} images for ${checkpoint.path}${why}: choose another --split`,
    );
  }
  const isRunsOwnSplit = isOwnSplit(
    checkpoint,
    split,
    parts.shards.map(({ sha256 }) => sha256),
  );
  const imageCount = images.length / recordBytes;
  const events = new EventEmitter<EvaluationRunEvents>();
  const pool = new WorkerPool();
  const abort = new AbortController();
  const engines = new Map<string, EngineCount>();
  const runId = randomUUID();
  let done = 0;
  let isEnded = false;

  pool.listen({
    joined({ name, engine: { engine, fingerprint } }) {
      engines.set(fingerprint, { engine, fingerprint, workers: (engines.get(fingerprint)?.workers ?? 0) + 1 });
      events.emit('workerJoined', { name, fingerprint, workers: pool.size });
    },
    left({ name }, reason) {
      if (!isEnded) events.emit('workerLost', { name, reason, workers: pool.size });
    },
  });
  const tellOfDoor = (message: string) => void events.emit('door', { message });
  const reception = await openReception({
    host,
    port,
    tokens: door.tokens,
    tls: door.tls,
    tell: tellOfDoor,
    config,
    layout: checkpoint.layout,
    store: { ...parts, preprocessing: checkpoint.preprocessing, stepsPerEpoch: 1 },
    pool,
    runId,
    clock,
    firstFingerprint: () => undefined,
    whyClosed: () => (isEnded || abort.signal.aborted ? 'the evaluation has ended' : undefined),
    notReady: () => (pool.size === 0 ? 'there are no workers' : undefined),
    status: () => ({
      lockstepVersion,
      runId,
      evaluating: split,
      step: checkpoint.step,
      done,
      images: imageCount,
      workers: pool.workers.map(({ name, address, engine }) => ({ name, address, engine })),
    }),
  });

  function stop(reason = new LockstepError('interrupted', 'the evaluation was interrupted')): void {
    if (abort.signal.aborted || isEnded) return;
    abort.abort(reason);
    for (const worker of pool.workers) void worker.goodbye(reason.message);
  }

  async function evaluateAll(): Promise<EvaluationReport> {
    const quorum = new WorkerQuorum({
      pool,
      clock,
      timeoutMs: waitTimeoutMs,
      onWaiting: (needed) => events.emit('waiting', { workers: pool.size, needed }),
      onRest: () => undefined,
      onTimeout: (needed) => stop(waitedTooLong(needed, waitTimeoutMs)),
    });
    quorum.need(1);
    try {
      await pool.atLeast(1, abort.signal);
      const startedMs = performance.now();
      const results = await evaluateSplit({
        pool,
        split,
        shards: parts.shards,
        weights: encodeWeights(checkpoint.step, checkpoint.weights, checkpoint.movingStatistics),
        partTimes: new SliceTimes(),
        stragglerFactor: config.stragglerFactor,
        clock,
        signal: abort.signal,
        onPart({ sampleCount }) {
          done += sampleCount;
          events.emit('progress', { done, images: imageCount });
        },
      });
      return {
        lockstepVersion,
        checkpoint: checkpoint.path,
        step: checkpoint.step,
        weightsSha256: checkpoint.weightsSha256,
        split,
        dataset: dataset.source,
        isRunsOwnSplit,
        ...outcomeOf(results, images, dataset.classNames),
        engines: [...engines.values()],
        wallSeconds: (performance.now() - startedMs) / 1000,
      };
    } finally {
      quorum.close();
    }
  }

  async function evaluateAndClose(): Promise<EvaluationReport> {
    const stopWatchingTokens = door.watch(clock, tellOfDoor);
    let goodbye = 'the evaluation has ended';
    // Whoever called startEvaluation gets to listen before the first event.
    await new Promise((resolve) => setImmediate(resolve));
    if (door.tls?.trouble !== undefined) tellOfDoor(door.tls.trouble);
    try {
      return await evaluateAll();
    } catch (error) {
      goodbye = messageOf(error);
      // A worker's own failure, or an interruption while nobody was there.
      throw abort.signal.aborted ? interruption(abort.signal) : error;
    } finally {
      isEnded = true;
      stopWatchingTokens();
      await reception.close(goodbye);
    }
  }
  const report = evaluateAndClose();
  // Whoever holds `report` sees its rejection; without a holder it must not end the process.
  report.catch(() => undefined);
  const { url, host: listeningOn, port: listeningAt } = reception;
  return {
    url,
    host: listeningOn,
    port: listeningAt,
    checkpoint,
    split,
    images: imageCount,
    dataset: dataset.source,
    isRunsOwnSplit,
    events,
    report,
    stop,
  };
}

/** Whether a split's parts are those of the checkpoint's run: its shards are the shards, then validation, then test. */
function isOwnSplit({ config, shardHashes }: Checkpoint, split: EvaluationSplit, hashes: readonly string[]): boolean {
  const parts = shardHashes.slice(config.slices);
  const own = split === 'validation' ? parts.slice(0, hashes.length) : parts.slice(-hashes.length);
  return own.join() === hashes.join();
}

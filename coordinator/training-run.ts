// The training loop: collect a gradient, update, broadcast; validate and checkpoint between epochs, test at the end.
import { EventEmitter } from 'node:events';
import { LockstepError } from '../shared/errors.js';
import { totalStepsOf, type Config } from '../shared/config.js';
import type { Preprocessing } from '../shared/data/image-batch.js';
import { weightsSha256 } from '../shared/model/layout-hash.js';
import type { ModelLayout } from '../shared/model/layout.js';
import { saveCheckpoint, type TrainingState } from './checkpoint.js';
import { collectGradient, type CollectedGradient } from './collect-gradient.js';
import { evaluateSplit, metricsOf, type Metrics } from './evaluation.js';
import { initialMovingStatistics, initialWeights } from './initial-weights.js';
import { learningRateAt } from './learning-rate.js';
import { MomentumSgd } from './momentum-sgd.js';
import { foldBatchStatistics } from './moving-statistics.js';
import type { PieceStore } from './pieces.js';
import { RunLedger, stepPhases, type Report, type RunEventName, type StepPhases } from './report.js';
import type { RunDirectory } from './run-directory.js';
import { encodeWeights, type WeightsFrame } from './weights-frame.js';
import type { WorkerConnection } from './worker-connection.js';
import { interruption, type WorkerPool } from './worker-pool.js';

export const preprocessing: Preprocessing = 'imagenet';

/** One update as listeners see it. */
export interface StepEvent extends Metrics {
  /** Updates made, this one included. */
  step: number;
  /** Counted from 1. */
  epoch: number;
  learningRate: number;
  imagesPerSecond: number;
  phases: StepPhases;
}
export interface EvaluationEvent extends Metrics {
  step: number;
  epoch: number;
}

/** What a run tells while it goes on. */
export interface RunEvents {
  step: [StepEvent];
  validation: [EvaluationEvent];
  test: [EvaluationEvent];
  checkpoint: [{ step: number; path: string }];
  workerJoined: [{ name: string; address: string; engine: string; fingerprint: string; workers: number }];
  workerLost: [{ name: string; address: string; reason: string; workers: number }];
  /** Slices of a running step went to other workers. */
  slicesReassigned: [{ step: number; slices: number }];
  /** The run cannot go on before this many workers are here. */
  waiting: [{ workers: number; needed: number }];
  /** A worker with another fingerprint joined: from here on the bits depend on who computes what. */
  inexact: [{ name: string; fingerprint: string; first: string }];
}

export interface TrainingRunOptions {
  config: Config;
  layout: ModelLayout;
  store: PieceStore;
  pool: WorkerPool;
  runDirectory: RunDirectory;
  /** Workers to wait for before the first step. */
  minWorkers: number;
  /** Ends the run after the running step, with a checkpoint. */
  signal: AbortSignal;
}

export class TrainingRun extends EventEmitter<RunEvents> {
  readonly totalSteps: number;
  readonly ledger = new RunLedger();
  readonly #options: TrainingRunOptions;
  readonly #state: TrainingState;
  readonly #optimizer: MomentumSgd;
  /** The steps of the running epoch. */
  #epochSteps: { sampleCount: number; lossSum: number; correctCount: number }[] = [];
  #validation: Metrics | null = null;
  /** The step of the latest checkpoint. There is nothing to save before the first update. */
  #savedStep = 0;

  constructor(options: TrainingRunOptions) {
    super();
    this.#options = options;
    const { config, layout, store } = options;
    this.totalSteps = totalStepsOf(config, store.stepsPerEpoch);
    this.#optimizer = new MomentumSgd(layout, config);
    this.#state = {
      step: 0,
      weights: initialWeights(layout, config.seed),
      velocity: this.#optimizer.velocity,
      movingStatistics: initialMovingStatistics(layout),
    };
  }

  /** Updates made so far. */
  get step(): number {
    return this.#state.step;
  }

  /** The epoch of the latest update, counted from 1. */
  get epoch(): number {
    return Math.max(1, Math.ceil(this.#state.step / this.#options.store.stepsPerEpoch));
  }

  /** Trains to the end, or until the signal. Workers that leave before are lost, those that leave after it are not. */
  async train(): Promise<Report> {
    const stopListening = this.#options.pool.listen({
      joined: (worker) => this.#onJoined(worker),
      left: (worker, reason) => this.#onLeft(worker, reason),
    });
    try {
      return await this.#trainAll();
    } catch (error) {
      if (this.#options.signal.aborted && this.#state.step > this.#savedStep) await this.#checkpoint();
      throw error;
    } finally {
      stopListening();
    }
  }

  async #trainAll(): Promise<Report> {
    const { config, store, signal } = this.#options;
    await this.#waitForWorkers(this.#options.minWorkers);
    const startedMs = performance.now();
    let weights = this.#encodeWeights();
    while (this.#state.step < this.totalSteps) {
      const stepStartedMs = performance.now();
      if (this.#options.pool.size === 0) await this.#waitForWorkers(1);
      const gradient = await collectGradient({ ...this.#options, sliceCount: config.slices, weights });
      this.#demandFinite(gradient);
      const updateStartedMs = performance.now();
      const learningRate = this.#update(gradient);
      weights = this.#encodeWeights();
      const endedMs = performance.now();
      const phases = stepPhases(gradient.phases, {
        reduce: gradient.reduceMs,
        update: endedMs - updateStartedMs,
        step: endedMs - stepStartedMs,
      });
      this.#tellStep(gradient, learningRate, phases);
      const epochEnds = this.#state.step % store.stepsPerEpoch === 0;
      if (epochEnds || this.#state.step === this.totalSteps) {
        await this.#validate(weights);
        await this.#checkpoint();
      }
      if (signal.aborted) throw interruption(signal);
      if (epochEnds && this.#state.step < this.totalSteps) this.#epochSteps = [];
    }
    return this.#finish(weights, startedMs);
  }

  #encodeWeights(): WeightsFrame {
    return encodeWeights(this.#state.step, this.#state.weights, this.#state.movingStatistics);
  }

  async #waitForWorkers(needed: number): Promise<void> {
    const { pool, signal } = this.#options;
    if (pool.size < needed) {
      this.#logEvent('waiting', `${pool.size} of ${needed} workers`);
      this.emit('waiting', { workers: pool.size, needed });
    }
    await pool.atLeast(needed, signal);
  }

  /** Weights that were updated with such a gradient could not be mended. Throws `diverged`. */
  #demandFinite(gradient: CollectedGradient): void {
    const slice = gradient.slices.findIndex(({ lossSum }) => !Number.isFinite(lossSum));
    if (slice < 0) return;
    const { checkpoints } = this.#options.runDirectory;
    const saved =
      this.#savedStep > 0 ? `the last checkpoint is step ${this.#savedStep} in ${checkpoints}` : 'nothing was saved';
    throw new LockstepError(
      'diverged',
      `the loss of slice ${slice} is ${gradient.slices[slice].lossSum} in step ${this.#state.step + 1}: the run has diverged; ` +
        `a smaller --learning-rate (now ${learningRateAt(this.#state.step, this.#options.config)}) may mend it; ${saved}`,
    );
  }

  /** One optimizer update, in place. @returns the learning rate it was made with */
  #update(gradient: CollectedGradient): number {
    const { weights, movingStatistics, step } = this.#state;
    const learningRate = learningRateAt(step, this.#options.config);
    this.#optimizer.step(weights, meanOf(gradient), learningRate);
    foldBatchStatistics(
      movingStatistics,
      gradient.slices.map((slice) => slice.batchStatistics),
      this.#options.config.bnMomentum,
    );
    this.#state.step++;
    return learningRate;
  }

  #tellStep(gradient: CollectedGradient, learningRate: number, phases: StepPhases): void {
    const sums = {
      sampleCount: gradient.sampleCount,
      lossSum: gradient.slices.reduce((sum, slice) => sum + slice.lossSum, 0),
      correctCount: gradient.slices.reduce((sum, slice) => sum + slice.correctCount, 0),
    };
    this.#epochSteps.push(sums);
    this.ledger.countStep(phases);
    const { step } = this.#state;
    const imagesPerSecond = (1000 * gradient.sampleCount) / phases.step;
    const event: StepEvent = { step, epoch: this.epoch, ...metricsOf([sums]), learningRate, imagesPerSecond, phases };
    this.#options.runDirectory.log({ type: 'step', ...event });
    if (gradient.reassignedSlices > 0) {
      this.ledger.slicesReassigned += gradient.reassignedSlices;
      this.#logEvent('slices-reassigned', `${gradient.reassignedSlices} in step ${step}`);
      this.emit('slicesReassigned', { step, slices: gradient.reassignedSlices });
    }
    this.emit('step', event);
  }

  async #validate(weights: WeightsFrame): Promise<void> {
    if (this.#options.store.validationCount === 0) return;
    const { pool, store, signal, runDirectory } = this.#options;
    this.#validation = await evaluateSplit({ pool, split: 'validation', pieces: store.pieces, weights, signal });
    const event = { step: this.#state.step, epoch: this.epoch, ...this.#validation };
    runDirectory.log({ type: 'validation', ...event });
    this.emit('validation', event);
  }

  async #checkpoint(): Promise<void> {
    const { config, layout, store, runDirectory } = this.#options;
    const pieceHashes = store.pieces.map((piece) => piece.sha256);
    const saved = await saveCheckpoint(
      { directory: runDirectory.checkpoints, layout, config, pieceHashes },
      this.#state,
    );
    this.#savedStep = this.#state.step;
    this.#logEvent('checkpoint', saved);
    this.emit('checkpoint', { step: this.#state.step, path: saved });
  }

  async #finish(weights: WeightsFrame, startedMs: number): Promise<Report> {
    const { config, pool, store, signal, runDirectory } = this.#options;
    const { step, movingStatistics } = this.#state;
    const test = await evaluateSplit({ pool, split: 'test', pieces: store.pieces, weights, signal });
    const event = { step, epoch: this.epoch, ...test };
    runDirectory.log({ type: 'test', ...event });
    this.emit('test', event);
    for (const worker of pool.workers) this.#countBytes(worker);
    const report = this.ledger.report({
      seed: config.seed,
      steps: step,
      epochs: this.epoch,
      imagesSeen: step * config.batchSize,
      imagesTrainedHere: step * config.batchSize,
      wallSeconds: (performance.now() - startedMs) / 1000,
      weightsSha256: weightsSha256(this.#state.weights, movingStatistics),
      train: metricsOf(this.#epochSteps),
      validation: this.#validation,
      test,
    });
    await runDirectory.writeReport(report);
    return report;
  }

  #onJoined(worker: WorkerConnection): void {
    const { name, address, engine } = worker;
    const first = this.ledger.firstFingerprint;
    this.ledger.countWorker(engine);
    this.#logEvent('worker-joined', `${name} (${address}, ${engine.fingerprint})`);
    this.emit('workerJoined', { name, address, ...engine, workers: this.#options.pool.size });
    if (first !== undefined && first !== engine.fingerprint) {
      this.#logEvent('inexact', `${name} computes with ${engine.fingerprint}, the first worker with ${first}`);
      this.emit('inexact', { name, fingerprint: engine.fingerprint, first });
    }
  }

  #onLeft(worker: WorkerConnection, reason: string): void {
    const { name, address } = worker;
    this.ledger.workersLost++;
    this.#countBytes(worker);
    this.#logEvent('worker-lost', `${name} (${address}): ${reason}`);
    this.emit('workerLost', { name, address, reason, workers: this.#options.pool.size });
  }

  #countBytes(worker: WorkerConnection): void {
    this.ledger.bytesSent += worker.bytesSent;
    this.ledger.bytesReceived += worker.bytesReceived;
  }

  #logEvent(event: RunEventName, detail: string): void {
    const time = new Date().toISOString();
    this.#options.runDirectory.log({ type: 'event', step: this.#state.step, time, event, detail });
  }
}

/** mean = sum / samples, in place: the one division. */
function meanOf(gradient: { gradientSum: Float32Array; sampleCount: number }): Float32Array {
  const { gradientSum, sampleCount } = gradient;
  for (let i = 0; i < gradientSum.length; i++) gradientSum[i] /= sampleCount;
  return gradientSum;
}

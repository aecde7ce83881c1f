// The training loop: collect a gradient, update, broadcast; validate and checkpoint between epochs, test at the end.
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
import type { Report, StepPhases } from './report.js';
import type { RunDirectory } from './run-directory.js';
import { RunJournal } from './run-journal.js';
import { StepClock } from './step-clock.js';
import { encodeWeights, type WeightsFrame } from './weights-frame.js';
import { interruption, type WorkerPool } from './worker-pool.js';

export const preprocessing: Preprocessing = 'imagenet';

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

export class TrainingRun {
  readonly totalSteps: number;
  readonly journal: RunJournal;
  readonly #options: TrainingRunOptions;
  readonly #state: TrainingState;
  readonly #optimizer: MomentumSgd;
  /** The steps of the running epoch. */
  #epochSteps: { sampleCount: number; lossSum: number; correctCount: number }[] = [];
  #validation: Metrics | null = null;
  /** The step of the latest checkpoint. There is nothing to save before the first update. */
  #savedStep = 0;

  constructor(options: TrainingRunOptions) {
    this.#options = options;
    const { config, layout, store, runDirectory, pool } = options;
    this.journal = new RunJournal(runDirectory, pool);
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
    const stopFollowing = this.journal.followWorkers();
    try {
      return await this.#trainAll();
    } catch (error) {
      if (this.#options.signal.aborted && this.#state.step > this.#savedStep) await this.#checkpoint();
      throw error;
    } finally {
      stopFollowing();
    }
  }

  async #trainAll(): Promise<Report> {
    const { config, store, signal } = this.#options;
    await this.#waitForWorkers(this.#options.minWorkers);
    const startedMs = performance.now();
    let weights = this.#encodeWeights();
    while (this.#state.step < this.totalSteps) {
      const clock = new StepClock();
      await this.#waitForWorkers(1);
      const gradient = await collectGradient({ ...this.#options, sliceCount: config.slices, weights });
      this.#demandFinite(gradient);
      clock.updateBegins();
      const learningRate = this.#update(gradient);
      weights = this.#encodeWeights();
      this.#tellStep(gradient, learningRate, clock.phases(gradient));
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
    if (signal.aborted) throw interruption(signal);
    if (pool.size >= needed) return;
    this.journal.waiting(needed);
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
    const { step } = this.#state;
    const imagesPerSecond = (1000 * gradient.sampleCount) / phases.step;
    this.journal.step(
      { step, epoch: this.epoch, ...metricsOf([sums]), learningRate, imagesPerSecond, phases },
      gradient.reassignedSlices,
    );
  }

  async #validate(weights: WeightsFrame): Promise<void> {
    if (this.#options.store.validationCount === 0) return;
    const { pool, store, signal } = this.#options;
    this.#validation = await evaluateSplit({ pool, split: 'validation', pieces: store.pieces, weights, signal });
    this.journal.evaluation('validation', { step: this.#state.step, epoch: this.epoch, ...this.#validation });
  }

  async #checkpoint(): Promise<void> {
    const { config, layout, store, runDirectory } = this.#options;
    const pieceHashes = store.pieces.map((piece) => piece.sha256);
    const saved = await saveCheckpoint(
      { directory: runDirectory.checkpoints, layout, config, pieceHashes },
      this.#state,
    );
    this.#savedStep = this.#state.step;
    this.journal.checkpoint(saved);
  }

  async #finish(weights: WeightsFrame, startedMs: number): Promise<Report> {
    const { config, pool, store, signal, runDirectory } = this.#options;
    const { step, movingStatistics } = this.#state;
    const test = await evaluateSplit({ pool, split: 'test', pieces: store.pieces, weights, signal });
    this.journal.evaluation('test', { step, epoch: this.epoch, ...test });
    this.journal.countBytesOfStayers();
    const report = this.journal.ledger.report({
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
}

/** mean = sum / samples, in place: the one division. */
function meanOf(gradient: { gradientSum: Float32Array; sampleCount: number }): Float32Array {
  const { gradientSum, sampleCount } = gradient;
  for (let i = 0; i < gradientSum.length; i++) gradientSum[i] /= sampleCount;
  return gradientSum;
}

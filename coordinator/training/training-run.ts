// The training loop: collect a gradient, update, broadcast; validate and checkpoint between epochs, test at the end.
import type { Clock } from '../../shared/clock.js';
import { LockstepError, messageOf, systemCodeOf } from '../../shared/errors.js';
import { totalStepsOf, type Config } from '../../shared/config/config.js';
import { areFinite } from '../../shared/reduction/finite.js';
import { collectYoungGeneration } from '../../shared/gc.js';
import { weightsSha256 } from '../../shared/network/layout-hash.js';
import type { ModelLayout } from '../../shared/network/layout.js';
import type { TrainingState } from '../run/checkpoint.js';
import { CheckpointManager } from '../run/checkpoint-manager.js';
import { collectGradient, type CollectedGradient } from './collect-gradient.js';
import { SliceScheduler } from '../scheduling/slice-scheduler.js';
import { notFiniteSum, notFiniteWeights } from './assert-finite.js';
import { evaluateSplit } from './evaluate-split.js';
import { addSums, metricsOf, noSums, type BatchSums, type Metrics } from '../run/metrics.js';
import type { GradientRound } from './gradient-round.js';
import type { PretrainedWeights } from '../run/pretrained-weights.js';
import { initialMovingStatistics, initialWeights } from '../optimizer/initial-weights.js';
import { learningRateAt } from '../optimizer/learning-rate.js';
import type { Checkpoint } from '../run/load-checkpoint.js';
import { MomentumSgd } from '../optimizer/momentum-sgd.js';
import { updateMovingStatistics } from '../optimizer/moving-statistics.js';
import type { ShardStore } from '../dataset/shard-store.js';
import { Replicator } from '../scheduling/replicator.js';
import type { Report, StepPhases } from '../run/report.js';
import type { RunControl } from './run-control.js';
import type { RunDirectory } from '../run/run-directory.js';
import type { RoundObserver } from './round-observer.js';
import { RunEventBus } from '../run/run-event-bus.js';
import { StepTimer } from './step-timer.js';
import { encodeWeights, type WeightsFrame } from '../connections/weights-frame.js';
import { interruption, type WorkerPool } from '../connections/worker-pool.js';
import { waitedTooLong, WorkerQuorum } from '../connections/worker-quorum.js';

/** So long after a step's orders they have left, and the workers compute; a shorter step has no idle moment. */
const idleAfterMs = 20;

export interface TrainingRunOptions {
  config: Config;
  layout: ModelLayout;
  store: ShardStore;
  pool: WorkerPool;
  runDirectory: RunDirectory;
  /** What the run goes on from; undefined for one that begins. */
  resumed: { checkpoint: Checkpoint; isOverridden: boolean } | undefined;
  /** What it begins with instead of drawn weights. */
  given: PretrainedWeights | undefined;
  /** Workers to wait for before the first step. */
  minWorkers: number;
  /** Workers to wait for before each other step. */
  pauseBelow: number;
  /** How long a wait for workers may last; undefined for ever. */
  waitTimeoutMs: number | undefined;
  clock: Clock;
  /** What an operator wants between steps. */
  control: RunControl;
  /** Looks on while gradients come in. */
  observer?: RoundObserver | undefined;
  /** Ends the run after the running step, with a checkpoint. */
  signal: AbortSignal;
  /** Aborts the signal. */
  stop: (reason: LockstepError) => void;
}

/** What a status tells of a run beside what it told its listeners. */
export interface RunSnapshot {
  /** Images that gradients were taken of, by this coordinator and those before it. */
  imagesSeen: number;
  /** The latest. */
  validation: (Metrics & { step: number }) | null;
  /** Without so many workers the run waits. */
  workersNeeded: number;
  /** Of the next update. */
  learningRate: number;
  /** The running step's gradient as far as it is here, or the latest one's. */
  round: GradientRound | undefined;
}

export class TrainingRun {
  readonly totalSteps: number;
  readonly journal: RunEventBus;
  readonly #options: TrainingRunOptions;
  readonly #state: TrainingState;
  readonly #optimizer: MomentumSgd;
  readonly #keeper: CheckpointManager;
  readonly #quorum: WorkerQuorum;
  readonly #dealer: SliceScheduler;
  readonly #replicator: Replicator;
  #imagesSeen = 0;
  /** Over the steps of the running epoch. */
  #epochSums: BatchSums = noSums;
  #validation: (Metrics & { step: number }) | null = null;
  /** Whether a checkpoint holds all of this. There is nothing to save before the first update. */
  #isSaved = true;

  constructor(options: TrainingRunOptions) {
    this.#options = options;
    const { config, layout, store, runDirectory, pool } = options;
    this.journal = new RunEventBus(runDirectory, pool);
    this.totalSteps = totalStepsOf(config, store.stepsPerEpoch);
    const shards = store.shards.filter(({ split }) => split === 'training').map(({ sha256 }) => sha256);
    this.#dealer = new SliceScheduler(shards, config.batchSize / config.slices);
    this.#replicator = new Replicator(pool, shards, config.replicas);
    this.#keeper = new CheckpointManager({
      directory: runDirectory.checkpoints,
      layout,
      config,
      preprocessing: store.preprocessing,
      classNames: store.classNames,
      shardHashes: store.shards.map((shard) => shard.sha256),
      keep: config.keepCheckpoints,
      from: options.resumed?.checkpoint,
    });
    this.#quorum = new WorkerQuorum({
      pool,
      clock: options.clock,
      timeoutMs: options.waitTimeoutMs,
      onWaiting: (needed) => this.journal.waiting(needed),
      onRest: () => this.journal.goesOn(),
      onTimeout: (needed) => options.stop(waitedTooLong(needed, options.waitTimeoutMs)),
    });
    this.#optimizer = new MomentumSgd(layout, config, options.given?.weights ?? initialWeights(layout, config.seed));
    const { weights, velocity } = this.#optimizer;
    this.#state = {
      step: 0,
      weights,
      velocity,
      movingStatistics: options.given?.movingStatistics.slice() ?? initialMovingStatistics(layout),
    };
    if (options.resumed !== undefined) this.#resume(options.resumed);
  }

  #resume({ checkpoint, isOverridden }: { checkpoint: Checkpoint; isOverridden: boolean }): void {
    const { step, weights, velocity, movingStatistics, progress } = checkpoint;
    this.#state.step = step;
    this.#state.weights.set(weights);
    this.#state.velocity.set(velocity);
    this.#state.movingStatistics.set(movingStatistics);
    this.#imagesSeen = progress.imagesSeen;
    this.#epochSums = progress.epochSums;
    this.#validation = progress.validation;
    this.journal.ledger.resume(step, progress.ledger, isOverridden);
  }

  /** Updates made so far. */
  get step(): number {
    return this.#state.step;
  }

  /** The epoch of the latest update, counted from 1. */
  get epoch(): number {
    return Math.max(1, Math.ceil(this.#state.step / this.#options.store.stepsPerEpoch));
  }

  /** Where the run is, for those who look at it. */
  get standing(): RunSnapshot {
    return {
      imagesSeen: this.#imagesSeen,
      validation: this.#validation,
      workersNeeded: this.#quorum.needed,
      learningRate: this.#learningRate,
      round: this.#dealer.round,
    };
  }

  /** The rate of the next update. */
  get #learningRate(): number {
    const { config, store } = this.#options;
    return learningRateAt(this.#state.step, config, {
      totalSteps: this.totalSteps,
      stepsPerEpoch: store.stepsPerEpoch,
    });
  }

  /** Trains to the end, or until the signal. Workers that leave before are lost, those that leave after it are not. */
  async train(): Promise<Report> {
    const { resumed, signal } = this.#options;
    if (resumed !== undefined) this.journal.resumed(resumed.checkpoint);
    const stopFollowing = this.journal.followWorkers();
    const stopReplicating = this.#replicator.follow();
    try {
      return await this.#trainAll();
    } catch (error) {
      if (isDivergence(error)) throw await this.#endDiverged(error);
      if (signal.aborted) await this.#saveBeforeLeaving();
      throw error;
    } finally {
      this.#quorum.close();
      stopReplicating();
      stopFollowing();
      this.journal.begins('ended');
    }
  }

  async #trainAll(): Promise<Report> {
    const { minWorkers, pauseBelow } = this.#options;
    await this.#waitForWorkers(Math.max(minWorkers, pauseBelow));
    const startedMs = performance.now();
    let weights = this.#encodeWeights();
    await this.#betweenSteps(weights); // a run may have been stopped before it had validated
    while (this.#state.step < this.totalSteps) {
      await this.#obeyOperator();
      const clock = new StepTimer();
      await this.#waitForWorkers(pauseBelow);
      this.journal.begins('training');
      const gradient = await this.#collectGradient(weights);
      clock.updateBegins();
      const learningRate = this.#update(gradient);
      weights = this.#encodeWeights();
      this.#sendAhead(weights);
      this.#tellStep(gradient, learningRate, clock.phases(gradient));
      if (this.#isAtEpochsEnd) this.#tellEpoch();
      await this.#betweenSteps(weights);
    }
    return this.#finish(weights, startedMs);
  }

  /** The last epoch may be cut short. */
  get #isAtEpochsEnd(): boolean {
    const { step } = this.#state;
    return step > 0 && (step % this.#options.store.stepsPerEpoch === 0 || step === this.totalSteps);
  }

  async #betweenSteps(weights: WeightsFrame): Promise<void> {
    const { config, signal } = this.#options;
    const { step } = this.#state;
    const epochEnds = this.#isAtEpochsEnd;
    if (epochEnds && this.#validation?.step !== step) await this.#validate(weights);
    if (epochEnds || step % (config.checkpointEvery ?? Infinity) === 0) await this.#checkpoint();
    if (signal.aborted) throw interruption(signal);
  }

  /** Saves and waits as long as an operator wants it so. */
  async #obeyOperator(): Promise<void> {
    const { control, signal } = this.#options;
    for (let order = control.next(); order !== 'step'; order = control.next()) {
      if (order === 'save') await this.#checkpoint();
      else await this.#pause();
      if (signal.aborted) throw interruption(signal);
    }
  }

  /** Workers come, go and answer pings meanwhile. */
  async #pause(): Promise<void> {
    const { control, signal } = this.#options;
    this.journal.begins('paused');
    await control.changed(signal);
  }

  async #collectGradient(weights: WeightsFrame): Promise<CollectedGradient> {
    const { config, pool, clock } = this.#options;
    const { slices, stragglerFactor } = config;
    // The weights, and from each worker a gradient in shards and put together.
    const madeBytes = weights.message.length * (1 + 2 * pool.size);
    const stopTimer = clock.after(idleAfterMs, () => collectYoungGeneration(madeBytes));
    const gradient = await collectGradient({
      ...this.#options,
      dealer: this.#dealer,
      sliceCount: slices,
      stragglerFactor,
      weights,
    }).finally(stopTimer);
    this.#replicator.ownersAre(this.#dealer.owners);
    return gradient;
  }

  async #evaluate(split: 'validation' | 'test', weights: WeightsFrame): Promise<Metrics> {
    const { config, store } = this.#options;
    const { stragglerFactor } = config;
    const { partTimes } = this.#dealer;
    const options = { split, shards: store.shards, weights, partTimes, stragglerFactor };
    return metricsOf(await evaluateSplit({ ...this.#options, ...options }));
  }

  #encodeWeights(): WeightsFrame {
    return encodeWeights(this.#state.step, this.#state.weights, this.#state.movingStatistics);
  }

  /** Those with slices wait for the weights, and nobody waits for what is told of the step. */
  #sendAhead(weights: WeightsFrame): void {
    const owners = new Set(this.#dealer.owners);
    for (const worker of this.#options.pool.workers) {
      if (owners.has(worker.id)) worker.sendAhead(weights);
    }
  }

  async #waitForWorkers(needed: number): Promise<void> {
    const { pool, signal } = this.#options;
    this.#quorum.need(needed);
    if (signal.aborted) throw interruption(signal);
    if (pool.size < needed) await pool.atLeast(needed, signal);
  }

  /** One optimizer update, in place. Throws `diverged` where it leaves float32's range. @returns its learning rate */
  #update(gradient: CollectedGradient): number {
    const { step, weights, movingStatistics } = this.#state;
    const { layout } = this.#options;
    const { gradientSum, sampleCount } = gradient;
    const learningRate = this.#learningRate;
    const update = this.#optimizer.step(gradientSum, sampleCount, learningRate);
    if (update === 'sum-not-finite') throw notFiniteSum(step, gradientSum, layout);
    if (update === 'weights-not-finite') throw notFiniteWeights(step, weights, layout);
    updateMovingStatistics(
      movingStatistics,
      gradient.slices.map((slice) => slice.batchStatistics),
      this.#options.config.bnMomentum,
    );
    this.#state.step++;
    this.#isSaved = false;
    return learningRate;
  }

  #tellStep(gradient: CollectedGradient, learningRate: number, phases: StepPhases): void {
    const sums = {
      sampleCount: gradient.sampleCount,
      lossSum: gradient.slices.reduce((sum, slice) => sum + slice.lossSum, 0),
      correctCount: gradient.slices.reduce((sum, slice) => sum + slice.correctCount, 0),
    };
    const { step } = this.#state;
    const isFirstOfEpoch = (step - 1) % this.#options.store.stepsPerEpoch === 0;
    this.#epochSums = addSums(isFirstOfEpoch ? noSums : this.#epochSums, sums);
    this.#imagesSeen += sums.sampleCount;
    const imagesPerSecond = (1000 * gradient.sampleCount) / phases.step;
    this.journal.step(
      { step, epoch: this.epoch, ...metricsOf([sums]), learningRate, imagesPerSecond, phases },
      gradient,
    );
  }

  #tellEpoch(): void {
    const { step, weights } = this.#state;
    const { gradient } = this.#optimizer;
    this.journal.epoch({ step, epoch: this.epoch, ...metricsOf([this.#epochSums]), weights, gradient });
  }

  async #validate(weights: WeightsFrame): Promise<void> {
    if (this.#options.store.validationCount === 0) return;
    const { step } = this.#state;
    this.journal.begins('validating');
    const metrics = await this.#evaluate('validation', weights);
    this.#validation = { step, ...metrics };
    this.#isSaved = false;
    this.journal.evaluation('validation', { step, epoch: this.epoch, ...metrics });
  }

  /** Saves what is not saved yet. Where the disk refuses, the run goes on and says so: later ones may succeed. */
  async #checkpoint(): Promise<void> {
    if (this.#isSaved) return;
    const { runDirectory } = this.#options;
    const startedMs = performance.now();
    this.journal.begins('saving');
    try {
      await runDirectory.flush();
      const saved = await this.#keeper.save(this.#state, {
        imagesSeen: this.#imagesSeen,
        epochSums: this.#epochSums,
        validation: this.#validation,
        ledger: this.journal.ledger.record(),
      });
      this.#isSaved = true;
      this.journal.checkpoint(saved, (performance.now() - startedMs) / 1000);
    } catch (error) {
      if (systemCodeOf(error) === undefined) throw error;
      this.journal.checkpointFailed(messageOf(error), this.#describeLastCheckpoint());
    }
  }

  /** Nothing of the step that diverged has reached the state, which is saved as the step before left it. */
  async #endDiverged(divergence: LockstepError): Promise<LockstepError> {
    if (areFinite(this.#state.weights)) await this.#checkpoint();
    const remedy = `a smaller --learning-rate (now ${this.#learningRate}) may mend it`;
    return new LockstepError('diverged', `${divergence.message}; ${remedy}; ${this.#describeLastCheckpoint()}`, {
      cause: divergence,
    });
  }

  /** Throws `save-failed` where the disk refuses. */
  async #saveBeforeLeaving(): Promise<void> {
    await this.#checkpoint();
    if (this.#isSaved) return;
    throw new LockstepError(
      'save-failed',
      `step ${this.#state.step} could not be saved; ${this.#describeLastCheckpoint()}: make room and go on from there with --resume`,
    );
  }

  #describeLastCheckpoint(): string {
    const { newest } = this.#keeper;
    return newest === undefined ? 'nothing was saved before' : `the last checkpoint is ${newest}`;
  }

  async #finish(weights: WeightsFrame, startedMs: number): Promise<Report> {
    const { config, runDirectory, resumed } = this.#options;
    const { step, movingStatistics } = this.#state;
    this.journal.begins('testing');
    const test = await this.#evaluate('test', weights);
    this.journal.evaluation('test', { step, epoch: this.epoch, ...test });
    await this.#saveBeforeLeaving();
    this.journal.countBytesOfStayers();
    const report = this.journal.ledger.report({
      seed: config.seed,
      initialWeightsSha256: config.initialWeightsSha256,
      steps: step,
      epochs: this.epoch,
      imagesSeen: this.#imagesSeen,
      imagesTrainedHere: this.#imagesSeen - (resumed?.checkpoint.progress.imagesSeen ?? 0),
      wallSeconds: (performance.now() - startedMs) / 1000,
      weightsSha256: weightsSha256(this.#state.weights, movingStatistics),
      train: metricsOf([this.#epochSums]),
      validation: this.#validation && { loss: this.#validation.loss, accuracy: this.#validation.accuracy },
      test,
    });
    await runDirectory.writeReport(report);
    return report;
  }
}

function isDivergence(error: unknown): error is LockstepError {
  return error instanceof LockstepError && error.code === 'diverged';
}

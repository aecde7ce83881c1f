// The training loop: collects gradients, updates the weights and broadcasts them; validates and saves between epochs;
// tests at the end.
import type { Clock } from '../../shared/clock.js';
import { LockstepError } from '../../shared/errors.js';
import { collectYoungGeneration } from '../../shared/gc.js';
import type { StepWeights } from '../connections/step-weights.js';
import { interruption, type WorkerPool } from '../connections/worker-pool.js';
import type { WorkerQuorum } from '../connections/worker-quorum.js';
import type { EvaluationSplit } from '../dataset/shard-store.js';
import type { EngineSelection } from '../engine/engine-selection.js';
import { outcomeOf, type Outcome } from '../run/evaluation-report.js';
import { metricsOf } from '../run/metrics.js';
import type { Report } from '../run/report.js';
import type { RunEventBus } from '../run/run-event-bus.js';
import type { NewRunEvent } from '../run/run-events.js';
import type { RunSetup } from '../run/run-setup.js';
import { Replicator } from '../scheduling/replicator.js';
import { SliceScheduler } from '../scheduling/slice-scheduler.js';
import { ItemDurations } from '../scheduling/straggler-watch.js';
import type { Dispatcher } from './dispatcher.js';
import { EvaluationJob } from './evaluation-job.js';
import { GradientJob, type CollectedGradient } from './gradient-job.js';
import type { RunControl } from './run-control.js';
import type { RunPhases } from './run-phases.js';
import type { RunRecorder } from './run-recorder.js';
import type { RunSchedule } from './run-schedule.js';
import { StepTimer } from './step-timer.js';
import type { TrainingState } from './training-state.js';

/**
 * Time after the start of a step when the coordinator collects garbage: by then, the assignments have been sent, and
 * the workers are computing. Shorter steps leave no idle time for garbage collection.
 */
const idleAfterMs = 20;

/** Collaborators of a training run. */
export interface TrainingParts {
  setup: RunSetup;
  schedule: RunSchedule;
  state: TrainingState;
  pool: WorkerPool;
  dispatcher: Dispatcher;
  quorum: WorkerQuorum;
  engine: EngineSelection;
  recorder: RunRecorder;
  events: RunEventBus;
  phases: RunPhases;
  control: RunControl;
  clock: Clock;
}

export class TrainingRun {
  readonly #parts: TrainingParts;
  readonly #state: TrainingState;
  readonly #scheduler: SliceScheduler;
  readonly #replicator: Replicator;
  readonly #evaluationDurations = new ItemDurations();

  constructor(parts: TrainingParts) {
    const { config, store } = parts.setup;
    const shards = store.shards.filter(({ split }) => split === 'training').map(({ sha256 }) => sha256);
    this.#parts = parts;
    this.#state = parts.state;
    const stepsPerRound = Math.min(config.localSteps, store.stepsPerEpoch);
    this.#scheduler = new SliceScheduler(shards, stepsPerRound * (config.batchSize / config.slices));
    this.#replicator = new Replicator(shards, config.replicas);
  }

  /**
   * Trains to the end of the run, tests the weights, and writes the report.
   * @param minWorkers number of workers to wait for before the first step
   * @param pauseBelow number of workers to wait for before each later step
   * @param signal when aborted, the run ends after the current step, with a checkpoint
   */
  async train(minWorkers: number, pauseBelow: number, signal: AbortSignal): Promise<Report> {
    const { pool, quorum, phases } = this.#parts;
    const replicate = () => this.#replicator.update(pool.workers);
    const stopReplicating = pool.listen({ joined: replicate, left: replicate, shardHeld: replicate });
    try {
      return await this.#trainAll(minWorkers, pauseBelow, signal);
    } catch (error) {
      if (error instanceof LockstepError && error.code === 'diverged') throw await this.#endDiverged(error);
      if (signal.aborted) await this.#parts.recorder.saveBeforeExit();
      throw error;
    } finally {
      quorum.close();
      stopReplicating();
      phases.start('ended');
    }
  }

  async #trainAll(minWorkers: number, pauseBelow: number, signal: AbortSignal): Promise<Report> {
    const { schedule, phases, recorder } = this.#parts;
    const state = this.#state;
    await this.#chooseEngine(Math.max(minWorkers, pauseBelow), signal);
    const startedMs = performance.now();
    let weights = state.encodeWeights();
    await this.#betweenRounds(weights, state.step, signal); // a resumed run may have been stopped before validation
    while (state.step < schedule.totalSteps) {
      await this.#applyOperatorRequests(signal);
      const timer = new StepTimer();
      await this.#waitForWorkers(pauseBelow, signal);
      phases.start('training');
      const gradient = await this.#collectGradient(weights);
      timer.updateStarted();
      const roundStart = state.step;
      const roundEnd = schedule.roundEnd(roundStart);
      const learningRate = schedule.learningRateAt(roundEnd - 1);
      state.update(gradient, learningRate, roundEnd - roundStart);
      recorder.changed();
      weights = state.encodeWeights();
      this.#sendAhead(weights);
      this.#emitStep(gradient, learningRate, timer);
      await this.#betweenRounds(weights, roundStart, signal);
    }
    return this.#finish(weights, startedMs);
  }

  /** Waits for workers, and chooses the engine of a new run. Starts again if an exact run dismissed too many of them. */
  async #chooseEngine(workersNeeded: number, signal: AbortSignal): Promise<void> {
    const { engine, phases } = this.#parts;
    await this.#waitForWorkers(workersNeeded, signal);
    while (!engine.isDone) {
      phases.start('measuring');
      await engine.choose(signal);
      await this.#waitForWorkers(workersNeeded, signal);
    }
  }

  async #waitForWorkers(needed: number, signal: AbortSignal): Promise<void> {
    const { quorum } = this.#parts;
    quorum.need(needed);
    await quorum.reached(signal);
  }

  /** Applies pause, resume and checkpoint requests between steps. */
  async #applyOperatorRequests(signal: AbortSignal): Promise<void> {
    const { control, phases } = this.#parts;
    for (let next = control.next(); next !== 'step'; next = control.next()) {
      if (next === 'save') {
        await this.#save();
      } else {
        phases.start('paused');
        await control.changed(signal);
      }
      if (signal.aborted) throw interruption(signal);
    }
  }

  async #collectGradient(weights: StepWeights): Promise<CollectedGradient> {
    const { setup, pool, dispatcher, events, clock } = this.#parts;
    const stopTimer = clock.after(idleAfterMs, collectYoungGeneration);
    const { layout } = setup;
    const publish = (event: NewRunEvent) => events.publish(event);
    const job = new GradientJob(weights, layout, this.#scheduler, clock, publish);
    const gradient = await dispatcher.run(job).finally(stopTimer);
    this.#replicator.setOwners(this.#scheduler.owners, pool.workers);
    return gradient;
  }

  /**
   * Sends the next weights to the workers that own slices. Called before the step's events are published, because
   * workers wait for weights, but nothing waits for events.
   */
  #sendAhead(weights: StepWeights): void {
    const owners = new Set(this.#scheduler.owners);
    for (const worker of this.#parts.pool.workers) {
      if (owners.has(worker.id)) worker.sendAhead(weights);
    }
  }

  #emitStep(gradient: CollectedGradient, learningRate: number, timer: StepTimer): void {
    const { events, schedule, setup } = this.#parts;
    const { contributions, reduceMs, reassigned, stragglers, sampleCount } = gradient;
    const { step, weights, optimizer } = this.#state;
    const epoch = schedule.epochOf(step);
    const phases = timer.phases(contributions, reduceMs);
    const metrics = this.#state.record(gradient);
    const imagesPerSecond = (1000 * sampleCount) / phases.step;
    for (const straggler of stragglers) events.publish({ type: 'straggler', step, ...straggler });
    if (reassigned > 0) events.publish({ type: 'slices-reassigned', step, slices: reassigned });
    const clippedValues = setup.config.encoding === 'float32' ? undefined : gradient.clippedCount;
    const rates = { learningRate, imagesPerSecond };
    events.publish({ type: 'step', step, epoch, ...metrics, ...rates, phases, contributions, clippedValues });
    if (!schedule.isEpochEnd(step)) return;
    const means = metricsOf([this.#state.epochSums]);
    events.publish({ type: 'epoch', epoch, ...means, weights, gradient: optimizer.gradient });
  }

  /** @param roundStart number of steps at the start of the last round */
  async #betweenRounds(weights: StepWeights, roundStart: number, signal: AbortSignal): Promise<void> {
    const { schedule } = this.#parts;
    const { step, validation } = this.#state;
    if (schedule.isEpochEnd(step) && validation?.step !== step) await this.#validate(weights);
    if (schedule.isCheckpointDue(step, roundStart)) await this.#save();
    if (signal.aborted) throw interruption(signal);
  }

  async #validate(weights: StepWeights): Promise<void> {
    if (this.#parts.setup.store.validationCount === 0) return;
    this.#parts.phases.start('validating');
    const { loss, accuracy } = await this.#evaluate('validation', weights);
    this.#state.validation = { step: this.#state.step, loss, accuracy };
    this.#parts.recorder.changed();
  }

  async #evaluate(split: EvaluationSplit, weights: StepWeights): Promise<Outcome> {
    const { setup, dispatcher, events, schedule } = this.#parts;
    const job = new EvaluationJob(split, setup.store, weights, this.#evaluationDurations);
    const outcome = outcomeOf(await dispatcher.run(job), setup.store.labels[split], setup.store.dataset);
    const { loss, accuracy } = outcome;
    events.publish({ type: split, epoch: schedule.epochOf(this.#state.step), loss, accuracy, outcome });
    return outcome;
  }

  async #save(): Promise<void> {
    const { phases, recorder } = this.#parts;
    if (recorder.isSaved) return;
    phases.start('saving');
    await recorder.save();
  }

  /** Saves the state if the weights are still finite, and returns the error with which the diverged run ends. */
  async #endDiverged(divergence: LockstepError): Promise<LockstepError> {
    const { recorder, schedule } = this.#parts;
    if (this.#state.isFinite) await this.#save();
    const learningRate = schedule.learningRateAt(this.#state.step);
    return new LockstepError(
      'diverged',
      `${divergence.message}. Try a smaller \`learningRate\` (the rate was ${learningRate}); ${recorder.describeLastCheckpoint()}`,
      { cause: divergence },
    );
  }

  async #finish(weights: StepWeights, startedMs: number): Promise<Report> {
    const { setup, phases, pool, schedule, recorder } = this.#parts;
    const { seed, initialWeightsSha256 } = setup.config;
    phases.start('testing');
    const test = setup.store.testCount === 0 ? null : await this.#evaluate('test', weights);
    if (!recorder.isSaved) phases.start('saving');
    await recorder.saveBeforeExit();
    const epochs = schedule.epochOf(this.#state.step);
    const wallSeconds = (performance.now() - startedMs) / 1000;
    return recorder.writeReport({ seed, initialWeightsSha256, epochs, wallSeconds }, test, pool.bytes);
  }
}

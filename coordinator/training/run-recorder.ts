// Saves a run to disk: checkpoints during the run, and the report at its end.
import { LockstepError, messageOf, systemCodeOf } from '../../shared/errors.js';
import type { CheckpointManager } from '../run/checkpoints/checkpoint-manager.js';
import { metricsOf, type Metrics } from '../run/metrics.js';
import type { Report } from '../run/report.js';
import type { RunDirectory } from '../run/run-directory.js';
import type { RunEventBus } from '../run/run-event-bus.js';
import type { RunTotals } from '../run/run-totals.js';
import type { TrainingState } from './training-state.js';

export class RunRecorder {
  readonly #state: TrainingState;
  readonly #checkpoints: CheckpointManager;
  readonly #directory: RunDirectory;
  readonly #events: RunEventBus;
  readonly #totals: RunTotals;
  readonly #imagesSeenBefore: number;
  /**
   * Whether the current state has been saved. Initially true, because before the first update, there is nothing new to
   * save.
   */
  #isSaved = true;

  constructor(
    state: TrainingState,
    checkpoints: CheckpointManager,
    directory: RunDirectory,
    events: RunEventBus,
    totals: RunTotals,
  ) {
    this.#state = state;
    this.#checkpoints = checkpoints;
    this.#directory = directory;
    this.#events = events;
    this.#totals = totals;
    this.#imagesSeenBefore = state.imagesSeen;
  }

  get isSaved(): boolean {
    return this.#isSaved;
  }

  /** Records that the state has changed, so that the next save() writes a checkpoint. */
  changed(): void {
    this.#isSaved = false;
  }

  /** Returns a description of the last checkpoint, for messages. */
  describeLastCheckpoint(): string {
    return this.#checkpoints.describeLastCheckpoint();
  }

  /**
   * Saves the state unless it has already been saved. If writing fails, publishes `checkpoint-failed` instead of
   * throwing: training continues, and a later attempt may succeed.
   */
  async save(): Promise<void> {
    if (this.#isSaved) return;
    const { imagesSeen, epochSums, validation } = this.#state;
    const startedMs = performance.now();
    try {
      await this.#directory.flush();
      const progress = { imagesSeen, epochSums, validation, totals: this.#totals.record };
      const path = await this.#checkpoints.save(this.#state, progress);
      this.#isSaved = true;
      this.#events.publish({ type: 'checkpoint', path, seconds: (performance.now() - startedMs) / 1000 });
    } catch (error) {
      if (systemCodeOf(error) === undefined) throw error;
      const lastCheckpoint = this.describeLastCheckpoint();
      this.#events.publish({ type: 'checkpoint-failed', reason: messageOf(error), lastCheckpoint });
    }
  }

  /** Saves the state unless it has already been saved. Throws `save-failed` if writing fails. */
  async saveBeforeExit(): Promise<void> {
    await this.save();
    if (this.#isSaved) return;
    throw new LockstepError(
      'save-failed',
      `step ${this.#state.step} could not be saved; ${this.describeLastCheckpoint()}: free some disk space, then continue ` +
        'from it with `resume`',
    );
  }

  /** Writes report.json and returns the report. Throws `save-failed` if writing fails. */
  async writeReport(
    rest: Pick<Report, 'seed' | 'initialWeightsSha256' | 'epochs' | 'wallSeconds'>,
    test: Metrics,
    bytes: { sent: number; received: number },
  ): Promise<Report> {
    const { step, imagesSeen, epochSums, validation, weightsSha256 } = this.#state;
    const results = {
      ...rest,
      steps: step,
      imagesSeen,
      weightsSha256,
      train: metricsOf([epochSums]),
      validation: validation && { loss: validation.loss, accuracy: validation.accuracy },
      test,
    };
    const report = this.#totals.report(results, imagesSeen - this.#imagesSeenBefore, bytes);
    await this.#directory.writeReport(report);
    return report;
  }
}

// Saves a run to disk: checkpoints during the run, and the report at its end.
import { LockstepError, messageOf, systemCodeOf } from '../../shared/errors.js';
import type { CheckpointManager } from '../run/checkpoints/checkpoint-manager.js';
import type { Outcome } from '../run/evaluation-report.js';
import { metricsOf } from '../run/metrics.js';
import type { Report } from '../run/report.js';
import type { RunDirectory } from '../run/run-directory.js';
import type { RunEventBus } from '../run/run-event-bus.js';
import type { RunTotals } from '../run/run-totals.js';
import type { TrainingState } from './training-state.js';

/** Codes of errors for a full disk or an exhausted quota. */
const fullDiskCodes: ReadonlySet<string | undefined> = new Set(['ENOSPC', 'EDQUOT']);

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
    await this.#trySave();
  }

  /** Saves the state unless it has already been saved. Throws `save-failed` if writing fails. */
  async saveBeforeExit(): Promise<void> {
    const cause = await this.#trySave();
    if (cause === undefined) return;
    const { step } = this.#state;
    const remedy = fullDiskCodes.has(systemCodeOf(cause))
      ? 'free some disk space'
      : 'make sure that the directory is writable';
    const next = this.#checkpoints.hasCheckpoint
      ? 'continue from that checkpoint with `resume`'
      : 'start the run again from the beginning';
    throw new LockstepError(
      'save-failed',
      `cannot save step ${step} to ${this.#directory.checkpoints} (${messageOf(cause)}); ` +
        `${this.describeLastCheckpoint()}: ${remedy}, then ${next}`,
      { cause },
    );
  }

  /** Saves the state unless it has already been saved. If writing fails, publishes and returns the error. */
  async #trySave(): Promise<unknown> {
    if (this.#isSaved) return undefined;
    const { imagesSeen, epochSums, validation } = this.#state;
    const startedMs = performance.now();
    try {
      await this.#directory.flush();
      const progress = { imagesSeen, epochSums, validation, totals: this.#totals.record };
      const path = await this.#checkpoints.save(this.#state, progress);
      this.#isSaved = true;
      this.#events.publish({ type: 'checkpoint', path, seconds: (performance.now() - startedMs) / 1000 });
      return undefined;
    } catch (error) {
      if (systemCodeOf(error) === undefined) throw error;
      const lastCheckpoint = this.describeLastCheckpoint();
      this.#events.publish({ type: 'checkpoint-failed', reason: messageOf(error), lastCheckpoint });
      return error;
    }
  }

  /** Writes test.json and report.json, and returns the report. Throws `save-failed` if writing fails. */
  async writeReport(
    rest: Pick<Report, 'seed' | 'initialWeightsSha256' | 'epochs' | 'wallSeconds'>,
    test: Outcome | null,
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
      test: test && { loss: test.loss, accuracy: test.accuracy, topFiveAccuracy: test.topFiveAccuracy },
    };
    const report = this.#totals.report(results, imagesSeen - this.#imagesSeenBefore, bytes);
    if (test !== null) await this.#directory.writeTest(test);
    await this.#directory.writeReport(report);
    return report;
  }
}

// Measures one step, from its start to the end of its update.
import { stepPhases, type StepPhases, type WorkerContribution } from '../run/step-phases.js';

export class StepTimer {
  readonly #startedMs = performance.now();
  #updateStartedMs = this.#startedMs;

  /** Records that the gradient has been collected and the update starts. */
  updateStarted(): void {
    this.#updateStartedMs = performance.now();
  }

  /** Returns the durations of the step's phases so far. */
  phases(contributions: readonly WorkerContribution[], reduceMs: number): StepPhases {
    const endedMs = performance.now();
    return stepPhases(contributions, {
      reduce: reduceMs,
      update: endedMs - this.#updateStartedMs,
      step: endedMs - this.#startedMs,
    });
  }
}

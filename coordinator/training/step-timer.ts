// Measures the duration of one step and of its update, which includes sending the new weights.
import { stepPhases, type StepPhases, type WorkerContribution } from '../run/step-phases.js';

export class StepTimer {
  readonly #startedMs = performance.now();
  #updateStartedMs = this.#startedMs;

  /** Records that the gradient has been collected and the update starts. */
  updateStarted(): void {
    this.#updateStartedMs = performance.now();
  }

  /** Ends the measurement and returns the durations of the step's phases. */
  phases(contributions: readonly WorkerContribution[], reduceMs: number): StepPhases {
    const endedMs = performance.now();
    return stepPhases(contributions, {
      reduce: reduceMs,
      update: endedMs - this.#updateStartedMs,
      step: endedMs - this.#startedMs,
    });
  }
}

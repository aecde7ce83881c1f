// Measures one step, from its start to its update.
import { stepPhases, type StepPhases, type WorkerContribution } from '../run/step-phases.js';

export class StepTimer {
  readonly #startedMs = performance.now();
  #updateStartedMs = this.#startedMs;

  /** The gradient has been collected: the update starts. */
  updateStarted(): void {
    this.#updateStartedMs = performance.now();
  }

  /** Where the time until now went. */
  phases(contributions: readonly WorkerContribution[], reduceMs: number): StepPhases {
    const endedMs = performance.now();
    return stepPhases(contributions, {
      reduce: reduceMs,
      update: endedMs - this.#updateStartedMs,
      step: endedMs - this.#startedMs,
    });
  }
}

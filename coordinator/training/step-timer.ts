// Measures one step from its request to its update.
import type { CollectedGradient } from './collect-gradient.js';
import { stepPhases, type StepPhases } from '../run/report.js';

export class StepTimer {
  readonly #startedMs = performance.now();
  #updateStartedMs = this.#startedMs;

  /** The gradient is here: what follows is the update. */
  updateBegins(): void {
    this.#updateStartedMs = performance.now();
  }

  /** Where the time until now went. */
  phases({ work, reduceMs }: Pick<CollectedGradient, 'work' | 'reduceMs'>): StepPhases {
    const endedMs = performance.now();
    return stepPhases(work, {
      reduce: reduceMs,
      update: endedMs - this.#updateStartedMs,
      step: endedMs - this.#startedMs,
    });
  }
}

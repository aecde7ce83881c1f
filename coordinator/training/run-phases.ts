// Tracks the current phase of a run, and publishes an event whenever it changes.
import type { RunPhase } from '../../shared/monitoring/run-status.js';
import type { RunEventBus } from '../run/run-event-bus.js';

export class RunPhases {
  readonly #events: RunEventBus;
  #activity: RunPhase = 'waiting';
  /** Whether too few workers are connected to continue the activity. */
  #isWaiting = false;

  constructor(events: RunEventBus) {
    this.#events = events;
  }

  get phase(): RunPhase {
    return this.#isWaiting && this.#activity !== 'ended' ? 'waiting' : this.#activity;
  }

  /** Sets the activity of the run from now on, for whenever enough workers are connected. */
  start(activity: RunPhase): void {
    this.#change(() => (this.#activity = activity));
  }

  setWaiting(isWaiting: boolean): void {
    this.#change(() => (this.#isWaiting = isWaiting));
  }

  #change(change: () => void): void {
    const before = this.phase;
    change();
    if (this.phase !== before) this.#events.publish({ type: 'phase', phase: this.phase });
  }
}

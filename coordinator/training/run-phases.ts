// What a run is doing. Publishes an event whenever that changes.
import type { RunPhase } from '../../shared/monitoring/run-status.js';
import type { RunEventBus } from '../run/run-event-bus.js';

export class RunPhases {
  readonly #events: RunEventBus;
  #activity: RunPhase = 'waiting';
  /** Whether there are too few workers for the activity. */
  #isWaiting = false;

  constructor(events: RunEventBus) {
    this.#events = events;
  }

  get phase(): RunPhase {
    return this.#isWaiting && this.#activity !== 'ended' ? 'waiting' : this.#activity;
  }

  /** Sets what the run does from now on, when there are enough workers. */
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

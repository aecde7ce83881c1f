// Tracks the current phase of a run, and publishes an event whenever it changes.
import type { RunPhase } from '../../shared/monitoring/run-status.js';
import type { RunEventBus } from '../run/run-event-bus.js';

export class RunPhases {
  readonly #events: RunEventBus;
  #activity: RunPhase = 'waiting';
  /** Whether the activity is suspended because too few workers are connected. */
  #isWaiting = false;

  constructor(events: RunEventBus) {
    this.#events = events;
  }

  get phase(): RunPhase {
    return this.#isWaiting && this.#activity !== 'ended' ? 'waiting' : this.#activity;
  }

  /** Sets the run's activity. While too few workers are connected, the phase is `waiting` instead. */
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

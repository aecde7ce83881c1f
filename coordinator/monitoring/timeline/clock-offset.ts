// Estimates how far a worker's clock is ahead of the coordinator's, as NTP does: the true offset lies somewhere within the
// round trip, so the fastest round trip gives the best estimate. Pure.
import type { ClockSample } from '../../run/run-events.js';

export class ClockOffset {
  #offsetMs: number | undefined;
  #roundTripMs = Infinity;

  add({ sentMs, receivedMs, repliedMs, returnedMs }: ClockSample): void {
    const roundTripMs = returnedMs - sentMs - (repliedMs - receivedMs);
    // A negative round trip means that a clock was set in between.
    if (roundTripMs < 0 || roundTripMs >= this.#roundTripMs) return;
    this.#roundTripMs = roundTripMs;
    this.#offsetMs = (receivedMs - sentMs + repliedMs - returnedMs) / 2;
  }

  /** Subtract this from a time of the worker's clock. Undefined before the first sample. */
  get offsetMs(): number | undefined {
    return this.#offsetMs;
  }

  /** The largest possible error: half of the fastest round trip. */
  get uncertaintyMs(): number {
    return this.#roundTripMs / 2;
  }
}

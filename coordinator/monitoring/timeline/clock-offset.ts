// Estimates, as NTP does, how far a worker's clock is ahead of the coordinator's clock. The error is at most half the
// round-trip time, so the fastest round trip gives the best estimate. Pure.
import type { ClockSample } from '../../run/run-events.js';

export class ClockOffset {
  #offsetMs: number | undefined;
  #roundTripMs = Infinity;

  add({ sentMs, receivedMs, repliedMs, returnedMs }: ClockSample): void {
    const roundTripMs = returnedMs - sentMs - (repliedMs - receivedMs);
    // A negative round trip means that a clock was set during the round trip.
    if (roundTripMs < 0 || roundTripMs >= this.#roundTripMs) return;
    this.#roundTripMs = roundTripMs;
    this.#offsetMs = (receivedMs - sentMs + repliedMs - returnedMs) / 2;
  }

  /**
   * Milliseconds by which the worker's clock is ahead: subtract them from the worker's times to convert these to the
   * coordinator's clock. Undefined before the first sample.
   */
  get offsetMs(): number | undefined {
    return this.#offsetMs;
  }

  /** Maximum error of the offset: half of the fastest round trip, in milliseconds. */
  get uncertaintyMs(): number {
    return this.#roundTripMs / 2;
  }
}

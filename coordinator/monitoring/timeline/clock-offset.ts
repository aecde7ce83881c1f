// How far another machine's clock is ahead of this one's, from questions and answers, as in NTP: the truth lies somewhere in
// the round trip, so the quickest one tells most. Pure.

/** One question and its answer. The first and the last are times of the asker's clock, the others of the other's. */
export interface Exchange {
  askedMs: number;
  /** When the question was there; the same as `toldMs` where it was answered at once. */
  reachedMs: number;
  toldMs: number;
  heardMs: number;
}

export class ClockOffset {
  #offsetMs: number | undefined;
  #roundTripMs = Infinity;

  add({ askedMs, reachedMs, toldMs, heardMs }: Exchange): void {
    const roundTripMs = heardMs - askedMs - (toldMs - reachedMs);
    // Less than nothing is no round trip: somebody's clock was set in between.
    if (roundTripMs < 0 || roundTripMs >= this.#roundTripMs) return;
    this.#roundTripMs = roundTripMs;
    this.#offsetMs = (reachedMs - askedMs + toldMs - heardMs) / 2;
  }

  /** To be subtracted from the other's time; undefined before the first exchange. */
  get offsetMs(): number | undefined {
    return this.#offsetMs;
  }

  /** The offset is wrong by at most this: half of the quickest round trip. */
  get uncertaintyMs(): number {
    return this.#roundTripMs / 2;
  }
}

// The ranges that a coordinator has requested for one step and that a relay has not answered yet. Pure.
import { sameRange, type SliceRange } from '../shared/reduction/slices.js';

export class RequestedRanges {
  /** Ranges that workers are computing. They do not overlap. */
  #open: readonly SliceRange[] = [];
  /** Ranges that overlap an open one, in the order of the requests. */
  #waiting: readonly SliceRange[] = [];

  /** Adds requested ranges. @returns those that can be computed now */
  add(ranges: readonly SliceRange[]): SliceRange[] {
    this.#waiting = [...this.#waiting, ...ranges];
    return this.#start();
  }

  /** Removes an open range, which has been answered. @returns the waiting ranges that can be computed now */
  answered(range: SliceRange): SliceRange[] {
    this.#open = this.#open.filter((open) => !sameRange(open, range));
    return this.#start();
  }

  #start(): SliceRange[] {
    const started: SliceRange[] = [];
    const waiting: SliceRange[] = [];
    for (const range of this.#waiting) {
      if (this.#open.some((open) => overlap(open, range))) {
        waiting.push(range);
      } else {
        started.push(range);
        this.#open = [...this.#open, range];
      }
    }
    this.#waiting = waiting;
    return started;
  }
}

function overlap(a: SliceRange, b: SliceRange): boolean {
  return a.first < b.first + b.count && b.first < a.first + a.count;
}

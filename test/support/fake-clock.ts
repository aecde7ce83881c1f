// A clock that advances only when a test advances it.
import type { Clock } from '../../shared/clock.js';

interface Timer {
  dueMs: number;
  /** Interval of a repeating timer; undefined for a timer that fires once. */
  intervalMs: number | undefined;
  callback: () => void;
}

export class FakeClock implements Clock {
  #nowMs = 0;
  readonly #timers = new Set<Timer>();

  now(): number {
    return this.#nowMs;
  }

  every(intervalMs: number, callback: () => void): () => void {
    return this.#start({ dueMs: this.#nowMs + intervalMs, intervalMs, callback });
  }

  after(delayMs: number, callback: () => void): () => void {
    return this.#start({ dueMs: this.#nowMs + delayMs, intervalMs: undefined, callback });
  }

  /** Number of active timers. */
  get running(): number {
    return this.#timers.size;
  }

  /** Advances the time and fires the timers that become due, in order, each at its due time. */
  advance(byMs: number): void {
    const endMs = this.#nowMs + byMs;
    for (;;) {
      const due = [...this.#timers].filter((timer) => timer.dueMs <= endMs);
      if (due.length === 0) break;
      const next = due.reduce((a, b) => (b.dueMs < a.dueMs ? b : a));
      this.#nowMs = next.dueMs;
      if (next.intervalMs === undefined) this.#timers.delete(next);
      else next.dueMs += next.intervalMs;
      next.callback();
    }
    this.#nowMs = endMs;
  }

  #start(timer: Timer): () => void {
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }
}

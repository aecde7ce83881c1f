// A clock that moves only when a test says so.
import type { Clock } from '../../shared/clock.js';

interface Timer {
  dueMs: number;
  /** Undefined for a timer that rings once. */
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

  /** Timers that have been started and neither rung for the last time nor been stopped. */
  get running(): number {
    return this.#timers.size;
  }

  /** Moves on, ringing whatever is due on the way, each timer at its own moment. */
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

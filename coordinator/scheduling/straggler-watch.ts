// Detects stragglers: workers that take too long. Pure: the caller passes the time.
import { medianOf } from '../../shared/median.js';

/** Number of latest durations from which the median is computed. */
const windowSize = 64;
/**
 * Number of durations needed to rely on the median. With fewer, the two longer limits below apply, because workers
 * fetch shards and warm up their engines during the first slices.
 */
const minDurations = 8;
const firstFactor = 10;
const minFirstLimitMs = 60_000;
/** Minimum time limit. Computing an item a second time any sooner costs more than it saves. */
const minLimitMs = 100;

/**
 * Recent durations of one kind of item, kept across the jobs of a run. Each is the time per item from the assignment or
 * the worker's previous answer, whichever is later, to the answer.
 */
export class ItemDurations {
  readonly #itemMs: number[] = [];

  record(ms: number, itemCount: number): void {
    this.#itemMs.push(ms / itemCount);
    if (this.#itemMs.length > windowSize) this.#itemMs.shift();
  }

  /** Median duration of an item, in milliseconds; undefined before the first answer. */
  get medianMs(): number | undefined {
    return this.#itemMs.length === 0 ? undefined : medianOf(this.#itemMs);
  }

  /** Whether there are enough durations to rely on the median. */
  get areSettled(): boolean {
    return this.#itemMs.length >= minDurations;
  }
}

/** Watches the workers of one job. */
export class StragglerWatch {
  readonly #durations: ItemDurations;
  readonly #factor: number;
  /** Start time and number of items of the range that each worker is computing now, by worker id. */
  readonly #running = new Map<number, { sinceMs: number; itemCount: number }>();

  /** @param factor an item is late after this many times the median duration; 0 for no limit */
  constructor(durations: ItemDurations, factor: number) {
    this.#durations = durations;
    this.#factor = factor;
  }

  started(worker: number, itemCount: number, nowMs: number): void {
    this.#running.set(worker, { sinceMs: nowMs, itemCount });
  }

  answered(worker: number, nowMs: number): void {
    const running = this.#running.get(worker);
    if (running !== undefined) this.#durations.record(nowMs - running.sinceMs, running.itemCount);
    this.#running.delete(worker);
  }

  left(worker: number): void {
    this.#running.delete(worker);
  }

  stragglers(nowMs: number): number[] {
    return [...this.#running.keys()].filter((worker) => this.#deadlineMs(worker) <= nowMs);
  }

  /** Returns the time when the next worker becomes a straggler, or Infinity if none will. */
  nextDeadlineMs(nowMs: number): number {
    const deadlines = [...this.#running.keys()].map((worker) => this.#deadlineMs(worker));
    return Math.min(...deadlines.filter((deadline) => deadline > nowMs));
  }

  #deadlineMs(worker: number): number {
    const { sinceMs, itemCount } = this.#running.get(worker)!;
    const { medianMs, areSettled } = this.#durations;
    if (this.#factor === 0 || medianMs === undefined) return Infinity;
    const limitMs = this.#factor * medianMs * itemCount;
    return sinceMs + (areSettled ? Math.max(minLimitMs, limitMs) : Math.max(minFirstLimitMs, firstFactor * limitMs));
  }
}

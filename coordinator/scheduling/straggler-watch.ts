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
  #medianMs: number | undefined;

  record(ms: number, itemCount: number): void {
    this.#itemMs.push(ms / itemCount);
    if (this.#itemMs.length > windowSize) this.#itemMs.shift();
    this.#medianMs = medianOf(this.#itemMs);
  }

  /** Median duration of an item, in milliseconds; undefined before the first answer. */
  get medianMs(): number | undefined {
    return this.#medianMs;
  }

  /** Whether there are enough durations to rely on the median. */
  get areSettled(): boolean {
    return this.#itemMs.length >= minDurations;
  }
}

/**
 * Watches the workers of one job. Every answer changes the median and with it all deadlines, so finding the next one must
 * not take time for each worker.
 */
export class StragglerWatch {
  readonly #durations: ItemDurations;
  readonly #factor: number;
  /** Number of items of the range that each worker is computing now, by worker id. */
  readonly #itemCounts = new Map<number, number>();
  /**
   * Start times of these ranges by worker id, for each number of items. They are in order, and so are the deadlines of
   * workers with equally many items.
   */
  readonly #startedMs = new Map<number, Map<number, number>>();

  /** @param factor an item is late after this many times the median duration; 0 for no limit */
  constructor(durations: ItemDurations, factor: number) {
    this.#durations = durations;
    this.#factor = factor;
  }

  /** Records that a worker starts to compute a range. Times must not decrease from call to call. */
  started(worker: number, itemCount: number, nowMs: number): void {
    this.left(worker);
    this.#itemCounts.set(worker, itemCount);
    const started = this.#startedMs.get(itemCount) ?? new Map<number, number>();
    this.#startedMs.set(itemCount, started.set(worker, nowMs));
  }

  answered(worker: number, nowMs: number): void {
    const itemCount = this.#itemCounts.get(worker);
    if (itemCount === undefined) return;
    this.#durations.record(nowMs - this.#startedMs.get(itemCount)!.get(worker)!, itemCount);
    this.left(worker);
  }

  left(worker: number): void {
    const itemCount = this.#itemCounts.get(worker);
    if (itemCount === undefined) return;
    this.#itemCounts.delete(worker);
    this.#startedMs.get(itemCount)!.delete(worker);
  }

  stragglers(nowMs: number): number[] {
    const late: number[] = [];
    for (const [itemCount, started] of this.#startedMs) {
      const limitMs = this.#limitMs(itemCount);
      for (const [worker, startedMs] of started) {
        if (startedMs + limitMs > nowMs) break;
        late.push(worker);
      }
    }
    return late;
  }

  /** Returns the time when the next worker becomes a straggler, or Infinity if none will. */
  nextDeadlineMs(nowMs: number): number {
    let nextMs = Infinity;
    for (const [itemCount, started] of this.#startedMs) {
      const limitMs = this.#limitMs(itemCount);
      for (const startedMs of started.values()) {
        if (startedMs + limitMs <= nowMs) continue;
        nextMs = Math.min(nextMs, startedMs + limitMs);
        break;
      }
    }
    return nextMs;
  }

  /** Returns the time limit for a range. */
  #limitMs(itemCount: number): number {
    const { medianMs, areSettled } = this.#durations;
    if (this.#factor === 0 || medianMs === undefined) return Infinity;
    const limitMs = this.#factor * medianMs * itemCount;
    return areSettled ? Math.max(minLimitMs, limitMs) : Math.max(minFirstLimitMs, firstFactor * limitMs);
  }
}

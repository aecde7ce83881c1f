// Who is late with a slice. Pure: time is told, not read.
import { medianOf } from '../../shared/median.js';

/** Slice times that the median is taken of. */
const kept = 64;
/** With fewer, first slices wait for shards and warm engines up: patience is ten times as long, and a minute at least. */
const needed = 8;
const firstPatience = 10;
const firstShortestMs = 60_000;
/** Nobody is late before: below this the second computation costs more than it saves. */
const minMs = 100;

/** How long slices take, as a coordinator sees it: from an order, or the answer before, to the answer. Of a whole run. */
export class SliceTimes {
  readonly #sliceMs: number[] = [];

  record(ms: number, sliceCount: number): void {
    this.#sliceMs.push(ms / sliceCount);
    if (this.#sliceMs.length > kept) this.#sliceMs.shift();
  }

  /** Undefined before the first answer. */
  get medianMs(): number | undefined {
    return this.#sliceMs.length === 0 ? undefined : medianOf(this.#sliceMs);
  }

  /** Whether there are enough of them to go by. */
  get areSettled(): boolean {
    return this.#sliceMs.length >= needed;
  }
}

/** Of one step. */
export class StragglerWatch {
  readonly #times: SliceTimes;
  readonly #factor: number;
  /** Since when a worker has been at what it is to answer next, and how many slices that are. */
  readonly #running = new Map<number, { sinceMs: number; sliceCount: number }>();

  /** @param factor a slice may take so many times the median; 0 for any time */
  constructor(times: SliceTimes, factor: number) {
    this.#times = times;
    this.#factor = factor;
  }

  /** A worker has begun with so many slices. */
  begins(worker: number, sliceCount: number, nowMs: number): void {
    this.#running.set(worker, { sinceMs: nowMs, sliceCount });
  }

  /** It has answered them. */
  ends(worker: number, nowMs: number): void {
    const running = this.#running.get(worker);
    if (running !== undefined) this.#times.record(nowMs - running.sinceMs, running.sliceCount);
    this.#running.delete(worker);
  }

  /** It will not answer. */
  forget(worker: number): void {
    this.#running.delete(worker);
  }

  late(nowMs: number): number[] {
    return [...this.#running.keys()].filter((worker) => this.#lateMs(worker) <= nowMs);
  }

  /** When the next worker that is not late yet will be; Infinity for never. */
  nextLateMs(nowMs: number): number {
    const moments = [...this.#running.keys()].map((worker) => this.#lateMs(worker));
    return Math.min(...moments.filter((moment) => moment > nowMs));
  }

  #lateMs(worker: number): number {
    const { sinceMs, sliceCount } = this.#running.get(worker)!;
    const { medianMs, areSettled } = this.#times;
    if (this.#factor === 0 || medianMs === undefined) return Infinity;
    const patienceMs = this.#factor * medianMs * sliceCount;
    return sinceMs + (areSettled ? Math.max(minMs, patienceMs) : Math.max(firstShortestMs, firstPatience * patienceMs));
  }
}

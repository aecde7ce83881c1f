// How fast a worker is, from what it has computed lately. Pure.
import { medianOf } from '../../shared/median.js';

/** Measurements that count. Their median leaves out a slow first slice, a page of swap, a moment of other work. */
const kept = 9;
/** With fewer it is not judged: the first slices wait for shards and warm an engine up. */
const needed = 5;

export class WorkerSpeed {
  readonly #imageMs: number[] = [];
  readonly #fixedMs: number[] = [];

  /** A gradient took so long to compute. */
  computed(images: number, computeMs: number): void {
    keep(this.#imageMs, computeMs / images);
  }

  /** An answer took so much longer than its computation: transfer, and waiting at either end. */
  waited(fixedMs: number): void {
    keep(this.#fixedMs, fixedMs);
  }

  /** Milliseconds of computation for an image; undefined while there are too few measurements. */
  get imageMs(): number | undefined {
    return this.#imageMs.length < needed ? undefined : medianOf(this.#imageMs);
  }

  /** Milliseconds that an answer takes besides. */
  get fixedMs(): number {
    return this.#fixedMs.length < needed ? 0 : medianOf(this.#fixedMs);
  }

  /** For people: 0 before the first answer. */
  get imagesPerSecond(): number {
    return this.#imageMs.length === 0 ? 0 : 1000 / medianOf(this.#imageMs);
  }
}

function keep(values: number[], value: number): void {
  values.push(value);
  if (values.length > kept) values.shift();
}

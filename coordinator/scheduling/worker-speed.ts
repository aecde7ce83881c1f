// How fast a worker is, from its recent answers. Pure.
import { medianOf } from '../../shared/median.js';

/** Measurements the median is taken over. A median ignores a slow first slice, a page fault, a burst of other work. */
const windowSize = 9;
/** With fewer measurements there is no estimate: the first slices wait for shards and warm up the engine. */
const minMeasurements = 5;

export class WorkerSpeed {
  readonly #imageMs: number[] = [];
  readonly #overheadMs: number[] = [];

  /** Records the computation time of a gradient over `images`. */
  computed(images: number, computeMs: number): void {
    keep(this.#imageMs, computeMs / images);
  }

  /** Records how much longer an answer took than its computation: transfer and waiting at either end. */
  waited(overheadMs: number): void {
    keep(this.#overheadMs, overheadMs);
  }

  /** Computation per image, in milliseconds; undefined while there are too few measurements. */
  get imageMs(): number | undefined {
    return this.#imageMs.length < minMeasurements ? undefined : medianOf(this.#imageMs);
  }

  /** Time per answer besides computation, in milliseconds; 0 while there are too few measurements. */
  get overheadMs(): number {
    return this.#overheadMs.length < minMeasurements ? 0 : medianOf(this.#overheadMs);
  }

  /** For display; 0 before the first answer. */
  get imagesPerSecond(): number {
    return this.#imageMs.length === 0 ? 0 : 1000 / medianOf(this.#imageMs);
  }
}

function keep(values: number[], value: number): void {
  values.push(value);
  if (values.length > windowSize) values.shift();
}

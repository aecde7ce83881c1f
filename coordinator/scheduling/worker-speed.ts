// Estimates a worker's speed from its recent answers. Pure.
import { medianOf } from '../../shared/median.js';

/**
 * Number of latest measurements from which the median is computed. A median ignores outliers: a slow first slice, a
 * page fault, a burst of other work.
 */
const windowSize = 9;
/**
 * Number of measurements needed for an estimate. A single one could be far off, because the first slices wait for
 * shards and warm up the engine.
 */
const minMeasurements = 5;

export class WorkerSpeed {
  /** Number of workers that compute at the same time; only a relay has several. */
  parallelism = 1;
  readonly #imageMs: number[] = [];
  readonly #overheadMs: number[] = [];

  /** Records the computation time of a gradient over this number of images, added up over all workers that computed it. */
  computed(images: number, computeMs: number): void {
    keep(this.#imageMs, computeMs / images);
  }

  /** Records the time that an answer took in addition to its computation: transfer, and waiting at both ends. */
  waited(overheadMs: number): void {
    keep(this.#overheadMs, overheadMs);
  }

  /** Computation time per image, in milliseconds; undefined while there are too few measurements. */
  get imageMs(): number | undefined {
    return this.#imageMs.length < minMeasurements ? undefined : medianOf(this.#imageMs) / this.parallelism;
  }

  /** Time per answer besides computation, in milliseconds; 0 while there are too few measurements. */
  get overheadMs(): number {
    return this.#overheadMs.length < minMeasurements ? 0 : medianOf(this.#overheadMs);
  }

  /** Images per second, for display; 0 before the first answer. */
  get imagesPerSecond(): number {
    return this.#imageMs.length === 0 ? 0 : (1000 * this.parallelism) / medianOf(this.#imageMs);
  }
}

function keep(values: number[], value: number): void {
  values.push(value);
  if (values.length > windowSize) values.shift();
}

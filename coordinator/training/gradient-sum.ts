// Sums the gradients of a step in tree order, regardless of the order of arrival. Pure.
import { addInto, relativesOf, sameRange, type SliceRange } from '../../shared/reduction/slices.js';

/** A worker's results for one slice, except the gradient. */
export interface SliceReport {
  lossSum: number;
  correctCount: number;
  /** Batch norm statistics of this slice alone. */
  batchStatistics: Float32Array;
}

/** The sum of the gradients over an aligned slice range. */
export interface PartialSum {
  range: SliceRange;
  /** Sum of the gradients. GradientSum.add() takes ownership of the array and may modify it later. */
  gradientSum: Float32Array;
  /** Number of images in the range's slices. */
  sampleCount: number;
  /** Reports for the range's slices, in slice order. */
  slices: readonly SliceReport[];
}

export class GradientSum {
  readonly #range: SliceRange;
  readonly #sliceCount: number;
  /** Partial sums whose siblings in the reduction tree are still missing, by the first slice of their range. */
  readonly #pending = new Map<number, { range: SliceRange; sum: Float32Array }>();
  readonly #reports: SliceReport[];
  #sampleCount = 0;
  #total: Float32Array | undefined;

  /**
   * @param sliceCount number of slices of the run
   * @param range aligned range to sum over; all slices by default
   */
  constructor(sliceCount: number, range: SliceRange = { first: 0, count: sliceCount }) {
    this.#range = range;
    this.#sliceCount = sliceCount;
    this.#reports = Array.from({ length: range.count });
  }

  /** Adds a partial sum. The ranges of the added partial sums must not overlap. */
  add({ range, gradientSum, sampleCount, slices }: PartialSum): void {
    for (const [index, report] of slices.entries()) this.#reports[range.first - this.#range.first + index] = report;
    this.#sampleCount += sampleCount;
    this.#merge(range, gradientSum);
  }

  /** The sum over the whole range; undefined until every slice has been added. */
  get total(): PartialSum | undefined {
    if (this.#total === undefined) return undefined;
    return {
      range: this.#range,
      gradientSum: this.#total,
      sampleCount: this.#sampleCount,
      slices: this.#reports,
    };
  }

  #merge(range: SliceRange, sum: Float32Array): void {
    if (sameRange(range, this.#range)) {
      this.#total = sum;
      return;
    }
    // Only the root of the tree has no relatives, and every range that contains others is in the tree.
    const { parent, sibling } = relativesOf(range, this.#sliceCount)!;
    const waiting = this.#pending.get(sibling.first);
    if (waiting === undefined || !sameRange(waiting.range, sibling)) {
      this.#pending.set(range.first, { range, sum });
      return;
    }
    this.#pending.delete(sibling.first);
    addInto(waiting.sum, sum);
    this.#merge(parent, waiting.sum);
  }
}

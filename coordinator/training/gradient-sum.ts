// Sums the gradients of a step or of a slice range, regardless of the order of arrival. Pure.
import { raiseMaxima } from '../../shared/encoding/maxima.js';
import type { PartialSumPayload, SumEncoding } from '../../shared/encoding/partial-sum.js';
import { accumulatorFor, type SumAccumulator } from '../../shared/encoding/sum-accumulator.js';
import type { SliceRange } from '../../shared/reduction/slices.js';

/** A worker's results for one slice, except the gradient. */
export interface SliceReport {
  lossSum: number;
  correctCount: number;
  /** Batch norm statistics of this slice alone. */
  readonly batchStatistics: Float32Array;
}

/** The sum of the gradients over an aligned slice range. */
export interface PartialSum {
  range: SliceRange;
  /**
   * Sum of the gradients, in the encoding of the step. GradientSum.add() takes ownership of the array and may modify it
   * later.
   */
  gradientSum: PartialSumPayload['sum'];
  maxima: PartialSumPayload['maxima'];
  /** Number of gradient values that were clipped in all slices. */
  clippedCount: number;
  /** Number of images in the range's slices. */
  sampleCount: number;
  /** Reports for the range's slices, in slice order. */
  slices: readonly SliceReport[];
}

export class GradientSum {
  readonly #range: SliceRange;
  readonly #sum: SumAccumulator;
  readonly #reports: SliceReport[];
  #maxima: Float32Array | undefined;
  #sampleCount = 0;
  #clippedCount = 0;

  /**
   * @param sliceCount number of slices in a step
   * @param range aligned range to sum over; all slices by default
   */
  constructor(sliceCount: number, encoding: SumEncoding, range: SliceRange = { first: 0, count: sliceCount }) {
    this.#range = range;
    this.#sum = accumulatorFor(range, sliceCount, encoding);
    this.#reports = Array.from({ length: range.count });
  }

  /**
   * Adds a partial sum. The ranges of the added partial sums must not overlap. Copies everything but the gradients.
   * @returns those of the gradients added so far whose memory is no longer needed
   */
  add({ range, gradientSum, maxima, clippedCount, sampleCount, slices }: PartialSum): PartialSum['gradientSum'][] {
    for (const [index, report] of slices.entries()) {
      const batchStatistics = report.batchStatistics.slice();
      this.#reports[range.first - this.#range.first + index] = { ...report, batchStatistics };
    }
    this.#sampleCount += sampleCount;
    this.#clippedCount += clippedCount;
    this.#maxima ??= new Float32Array(maxima.length);
    raiseMaxima(this.#maxima, maxima);
    return this.#sum.add(range, gradientSum);
  }

  /** The sum over the whole range; undefined until every slice has been added. */
  get total(): (PartialSum & { gradientSum: Float32Array | Int32Array }) | undefined {
    const gradientSum = this.#sum.total;
    if (gradientSum === undefined) return undefined;
    return {
      range: this.#range,
      gradientSum,
      maxima: this.#maxima!,
      clippedCount: this.#clippedCount,
      sampleCount: this.#sampleCount,
      slices: this.#reports,
    };
  }
}

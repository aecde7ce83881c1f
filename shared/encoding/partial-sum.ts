// The payload of a gradient message: how a partial sum travels. Pure.
import type { ArrayLayout, ModelLayout } from '../network/layout.js';
import { childrenOf, type SliceRange } from '../reduction/slices.js';
import { maxInt8, type Encoding } from './encodings.js';

export type IntegerSum = Int8Array | Int16Array | Int32Array;

/** A partial sum over a slice range, as views of a payload. */
export interface PartialSumPayload {
  /**
   * Sum of the gradients: float32 values or, in a step with gradient scales, multiples of the scale of each array, in the
   * narrowest integers that hold the sum over as many slices.
   */
  readonly sum: Float32Array | IntegerSum;
  /** Batch statistics of each slice, in slice order. */
  readonly batchStatistics: Float32Array;
  /**
   * Largest absolute value of each array over the gradients of all slices, before rounding: NaN or infinity if a gradient
   * has such a value, which integers cannot represent. Empty if the run's encoding is float32.
   */
  readonly maxima: Float32Array;
}

/** The parts of a layout that determine the sizes of payloads. */
export type GradientLayout = Pick<ModelLayout, 'weightsSize' | 'statisticsSize'> & {
  readonly weights: readonly ArrayLayout[];
};

/**
 * How the partial sums of one step travel: as float32 values; as float32 values with the maxima that the next step's scales
 * follow from, in a step without scales of a run with int8 encoding; or as integers, with maxima too.
 */
export type SumEncoding = 'float32' | 'float32-with-maxima' | 'int8';

/**
 * @param encoding the run's encoding
 * @param scales the step's gradient scales; undefined if it has none
 */
export function sumEncodingOf(encoding: Encoding, scales: Float32Array | undefined): SumEncoding {
  if (encoding === 'float32') return 'float32';
  return scales === undefined ? 'float32-with-maxima' : 'int8';
}

/** The format of the partial sums of one step. */
export class PartialSumFormat {
  readonly #layout: GradientLayout;
  readonly #maximaSize: number;
  readonly #hasScales: boolean;

  constructor(layout: GradientLayout, encoding: SumEncoding) {
    this.#layout = layout;
    this.#maximaSize = encoding === 'float32' ? 0 : layout.weights.length;
    this.#hasScales = encoding === 'int8';
  }

  /** Returns the size of the payload over a number of slices, in float32 values. */
  payloadFloats(sliceCount: number): number {
    return this.#sumFloats(sliceCount) + sliceCount * this.#layout.statisticsSize + this.#maximaSize;
  }

  /**
   * Returns views of a payload's parts: float32 sums, batch statistics, maxima, integer sums.
   * @param payload payloadFloats(sliceCount) values
   */
  viewsOf(payload: Float32Array, sliceCount: number): PartialSumPayload {
    const { weightsSize, statisticsSize } = this.#layout;
    const statisticsAt = this.#hasScales ? 0 : weightsSize;
    const maximaAt = statisticsAt + sliceCount * statisticsSize;
    const end = maximaAt + this.#maximaSize;
    return {
      sum: this.#hasScales
        ? integersOf(payload.subarray(end), weightsSize, sliceCount)
        : payload.subarray(0, weightsSize),
      batchStatistics: payload.subarray(statisticsAt, maximaAt),
      maxima: payload.subarray(maximaAt, end),
    };
  }

  /**
   * Returns the children of a range if the sums over both take no more space than the sum over the range, as with two
   * slices in integers. One can then travel while the other is being computed. Otherwise returns the range.
   */
  partsOf(range: SliceRange): SliceRange[] {
    if (range.count === 1) return [range];
    const children = childrenOf(range);
    const bytes = children.reduce((sum, { count }) => sum + this.#valueBytes(count), 0);
    return bytes <= this.#valueBytes(range.count) ? children : [range];
  }

  #sumFloats(sliceCount: number): number {
    return Math.ceil((this.#layout.weightsSize * this.#valueBytes(sliceCount)) / 4);
  }

  #valueBytes(sliceCount: number): 1 | 2 | 4 {
    return this.#hasScales ? integerBytes(sliceCount) : 4;
  }
}

/** Returns the size in bytes of the narrowest integers that hold a sum over this number of slices. */
function integerBytes(sliceCount: number): 1 | 2 | 4 {
  const largest = maxInt8 * sliceCount;
  if (largest < 2 ** 7) return 1;
  return largest < 2 ** 15 ? 2 : 4;
}

function integersOf({ buffer, byteOffset }: Float32Array, count: number, sliceCount: number): IntegerSum {
  switch (integerBytes(sliceCount)) {
    case 1:
      return new Int8Array(buffer, byteOffset, count);
    case 2:
      return new Int16Array(buffer, byteOffset, count);
    default:
      return new Int32Array(buffer, byteOffset, count);
  }
}

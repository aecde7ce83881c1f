// Adds up partial sums over a slice range, whatever the order of their arrival. Used by whoever receives them from
// others. Pure.
import { addInto, relativesOf, sameRange, type SliceRange } from '../reduction/slices.js';
import type { PartialSumPayload, SumEncoding } from './partial-sum.js';

export interface SumAccumulator {
  /**
   * Adds a partial sum, and takes ownership of its memory. The ranges of the added sums must not overlap.
   * @param sum integers for a step with gradient scales, float32 values for one without
   * @returns those of the sums added so far whose memory is no longer needed
   */
  add(range: SliceRange, sum: PartialSumPayload['sum']): PartialSumPayload['sum'][];
  /** The sum over all slices of the range; undefined until every slice has been added. */
  readonly total: Float32Array | Int32Array | undefined;
}

/**
 * Returns an accumulator for an aligned range.
 * @param sliceCount number of slices in a step
 */
export function accumulatorFor(range: SliceRange, sliceCount: number, encoding: SumEncoding): SumAccumulator {
  return encoding === 'int8' ? new IntegerAccumulator(range.count) : new FloatAccumulator(range, sliceCount);
}

/** Adds float32 sums in the order of the reduction tree. */
class FloatAccumulator implements SumAccumulator {
  readonly #root: SliceRange;
  readonly #sliceCount: number;
  /** Partial sums whose siblings in the reduction tree are still missing, by the first slice of their range. */
  readonly #pending = new Map<number, { range: SliceRange; sum: Float32Array }>();
  #total: Float32Array | undefined;

  constructor(root: SliceRange, sliceCount: number) {
    this.#root = root;
    this.#sliceCount = sliceCount;
  }

  get total(): Float32Array | undefined {
    return this.#total;
  }

  add(range: SliceRange, sum: PartialSumPayload['sum']): Float32Array[] {
    if (!(sum instanceof Float32Array)) throw new TypeError('expected a float32 sum');
    return this.#merge(range, sum);
  }

  #merge(range: SliceRange, sum: Float32Array): Float32Array[] {
    const relatives = sameRange(range, this.#root) ? undefined : relativesOf(range, this.#sliceCount);
    if (relatives === undefined) {
      this.#total = sum;
      return [];
    }
    const { parent, sibling } = relatives;
    const waiting = this.#pending.get(sibling.first);
    if (waiting === undefined || !sameRange(waiting.range, sibling)) {
      this.#pending.set(range.first, { range, sum });
      return [];
    }
    this.#pending.delete(sibling.first);
    addInto(waiting.sum, sum);
    return [sum, ...this.#merge(parent, waiting.sum)];
  }
}

/** Adds integer sums, which is exact in any order. */
class IntegerAccumulator implements SumAccumulator {
  #remaining: number;
  #sum: Int32Array | undefined;

  constructor(sliceCount: number) {
    this.#remaining = sliceCount;
  }

  get total(): Int32Array | undefined {
    return this.#remaining === 0 ? this.#sum : undefined;
  }

  add({ count }: SliceRange, sum: PartialSumPayload['sum']): PartialSumPayload['sum'][] {
    if (sum instanceof Float32Array) throw new TypeError('expected an integer sum');
    if (this.#sum === undefined) this.#sum = new Int32Array(sum);
    else addIntegers(this.#sum, sum);
    this.#remaining -= count;
    return [sum];
  }
}

/** Adds integers of any width to wider or equally wide ones. */
export function addIntegers(target: Int16Array | Int32Array, addend: Int8Array | Int16Array | Int32Array): void {
  // Eight values per iteration, as in addInto.
  const unrolledEnd = target.length - (target.length % 8);
  for (let i = 0; i < unrolledEnd; i += 8) {
    target[i] += addend[i];
    target[i + 1] += addend[i + 1];
    target[i + 2] += addend[i + 2];
    target[i + 3] += addend[i + 3];
    target[i + 4] += addend[i + 4];
    target[i + 5] += addend[i + 5];
    target[i + 6] += addend[i + 6];
    target[i + 7] += addend[i + 7];
  }
  for (let i = unrolledEnd; i < target.length; i++) target[i] += addend[i];
}

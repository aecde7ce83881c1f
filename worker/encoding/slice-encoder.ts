// Rounds the gradients of slices to 8-bit integers, and adds them up. Rounding is random, with a mean that is the value
// itself, and keyed by seed, step and slice, so it does not depend on which worker computes a slice.
import type { GradientLayout, PartialSumPayload } from '../../shared/encoding/partial-sum.js';
import { raiseMaxima } from '../../shared/encoding/maxima.js';
import { addIntegers } from '../../shared/encoding/sum-accumulator.js';
import { KeyedRandom } from '../../shared/random.js';
import type { loadRoundingKernels, RoundingKernels } from './rounding-kernels.js';

/** Number of values that four counters of the generator provide random numbers for. */
const blockSize = 8;
const pageBytes = 65_536;

export class SliceEncoder {
  readonly #layout: Omit<GradientLayout, 'statisticsSize'>;
  readonly #seed: number;
  readonly #kernels: RoundingKernels;
  readonly #gradient: Float32Array;
  readonly #integers: Int8Array;
  readonly #maxima: Float32Array;
  /** First counter of each array. */
  readonly #counters: readonly number[];

  /** @param kernelsOn result of loadRoundingKernels */
  constructor(
    layout: Omit<GradientLayout, 'statisticsSize'>,
    seed: number,
    kernelsOn: Awaited<ReturnType<typeof loadRoundingKernels>>,
  ) {
    const { weights, weightsSize } = layout;
    this.#layout = layout;
    this.#seed = seed;
    // The first page of the memory is reserved for data of the compiled kernel, which reads and writes whole blocks.
    const gradientAt = pageBytes;
    const integersAt = gradientAt + 4 * (weightsSize + blockSize);
    const maximaAt = Math.ceil((integersAt + weightsSize + blockSize) / 4) * 4;
    const end = maximaAt + 4 * weights.length;
    const memory = new WebAssembly.Memory({ initial: Math.ceil(end / pageBytes) });
    this.#kernels = kernelsOn(memory);
    this.#gradient = new Float32Array(memory.buffer, gradientAt, weightsSize);
    this.#integers = new Int8Array(memory.buffer, integersAt, weightsSize);
    this.#maxima = new Float32Array(memory.buffer, maximaAt, weights.length);
    let counter = 0;
    this.#counters = weights.map(({ size }) => {
      const first = counter;
      counter += (blockSize / 2) * Math.ceil(size / blockSize);
      return first;
    });
  }

  /**
   * Rounds a slice's gradient to multiples of the scales. Adds it to a partial sum or, if it is the first, replaces the
   * sum, and raises the maxima.
   * @returns number of clipped values
   */
  add(
    gradient: Float32Array,
    { step, slice, scales }: { step: number; slice: number; scales: Float32Array },
    { sum, maxima }: Pick<PartialSumPayload, 'sum' | 'maxima'>,
    isFirst: boolean,
  ): number {
    const clippedCount = this.#round(gradient, step, slice, scales);
    if (isFirst) sum.set(this.#integers);
    else addIntegers(sum as Int16Array | Int32Array, this.#integers);
    raiseMaxima(maxima, this.#maxima);
    return clippedCount;
  }

  #round(gradient: Float32Array, step: number, slice: number, scales: Float32Array): number {
    this.#gradient.set(gradient);
    const { key0, key1, counter1 } = new KeyedRandom(this.#seed, 'gradientRounding', step, slice).key;
    let clippedCount = 0;
    // In order of their offsets, because the kernel overwrites what follows an array.
    for (const [index, { offset, size }] of this.#layout.weights.entries()) {
      clippedCount += this.#kernels.round(
        this.#gradient.byteOffset + 4 * offset,
        size,
        scales[index],
        this.#counters[index],
        counter1,
        key0,
        key1,
        this.#integers.byteOffset + offset,
        this.#maxima.byteOffset + 4 * index,
      );
    }
    return clippedCount;
  }
}

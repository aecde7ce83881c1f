// A second, simple implementation of rounding gradients to 8 bits, for comparison with the compiled kernel.
import type { ArrayLayout } from '../../shared/network/layout.js';
import { KeyedRandom } from '../../shared/random.js';

export interface RoundedGradient {
  integers: Int8Array;
  /** Largest absolute value of each array. */
  maxima: Float32Array;
  clippedCount: number;
}

/** Rounds each value to floor(value / scale + random number in [0, 1)), in float32, and limits it to -127 to 127. */
export function roundedGradient(
  gradient: Float32Array,
  arrays: readonly ArrayLayout[],
  scales: Float32Array,
  { seed, step, slice }: { seed: number; step: number; slice: number },
): RoundedGradient {
  const random = new KeyedRandom(seed, 'gradientRounding', step, slice);
  const integers = new Int8Array(gradient.length);
  const maxima = new Float32Array(arrays.length);
  let clippedCount = 0;
  let firstPosition = 0;
  for (const [index, { offset, size }] of arrays.entries()) {
    for (let i = 0; i < size; i++) {
      // Of eight values, the first four use the first words of four positions, and the others the second words.
      const word = random.wordsAt(firstPosition + 4 * Math.floor(i / 8) + (i % 4))[Math.floor(i / 4) % 2];
      const multiple = Math.fround(gradient[offset + i] / scales[index]);
      const rounded = Math.floor(Math.fround(multiple + (word >>> 8) / 2 ** 24));
      // An Int8Array stores NaN as 0.
      integers[offset + i] = Math.max(-127, Math.min(127, rounded));
      if (Math.abs(multiple) > 127) clippedCount++;
    }
    firstPosition += 4 * Math.ceil(size / 8);
    const magnitudes = [...gradient.subarray(offset, offset + size)].map(Math.abs);
    maxima[index] = magnitudes.some(Number.isNaN) ? NaN : Math.max(...magnitudes);
  }
  return { integers, maxima, clippedCount };
}

// Integers that stand for multiples of a scale, one scale per array of the network. Every operation is rounded to
// float32, so that all sides compute the same bits. Pure.
import type { ArrayLayout } from '../network/layout.js';

/** Returns an integer sum as float32 values, in the memory of the integers. */
export function decodeSum(sum: Int32Array, scales: Float32Array, arrays: readonly ArrayLayout[]): Float32Array {
  const decoded = new Float32Array(sum.buffer, sum.byteOffset, sum.length);
  for (const [index, { offset, size }] of arrays.entries()) {
    const scale = scales[index];
    for (let i = offset; i < offset + size; i++) decoded[i] = sum[i] * scale;
  }
  return decoded;
}

/** Adds 8-bit multiples of the scales to weights. */
export function addScaled(
  weights: Float32Array,
  integers: Int8Array,
  scales: Float32Array,
  arrays: readonly ArrayLayout[],
): void {
  for (const [index, { offset, size }] of arrays.entries()) {
    const scale = scales[index];
    if (scale === 0) continue;
    for (let i = offset; i < offset + size; i++) weights[i] += Math.fround(integers[i] * scale);
  }
}

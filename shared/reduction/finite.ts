// Checks for NaN and infinite values, which would spread to every sum that includes them.
import type { ArrayLayout } from '../network/layout.js';

/**
 * Returns whether all values are finite. Multiplying NaN or infinity by 0 gives NaN, and any sum with NaN is NaN, so
 * the loop needs no branch per value. The check takes a quarter of the time needed to add two vectors of this size.
 */
export function areFinite(values: Float32Array): boolean {
  const zero = 0;
  let even = 0;
  let odd = 0;
  const unrolledEnd = values.length - (values.length % 8);
  for (let i = 0; i < unrolledEnd; i += 8) {
    even += values[i] * zero;
    odd += values[i + 1] * zero;
    even += values[i + 2] * zero;
    odd += values[i + 3] * zero;
    even += values[i + 4] * zero;
    odd += values[i + 5] * zero;
    even += values[i + 6] * zero;
    odd += values[i + 7] * zero;
  }
  for (let i = unrolledEnd; i < values.length; i++) even += values[i] * zero;
  return even + odd === 0;
}

/** Returns the first value that is NaN or infinite and the name of its array, or undefined if all values are finite. */
export function firstNotFinite(
  values: Float32Array,
  arrays: readonly ArrayLayout[],
): { array: string; value: number } | undefined {
  const index = values.findIndex((value) => !Number.isFinite(value));
  const array = arrays.find(({ offset, size }) => index >= offset && index < offset + size);
  return array && { array: array.name, value: values[index] };
}

// Finds NaN and infinite values, which would spread to every sum that includes them.
import type { ArrayLayout } from '../network/layout.js';

/** Returns the first value that is NaN or infinite and the name of its array, or undefined if all values are finite. */
export function firstNotFinite(
  values: Float32Array,
  arrays: readonly ArrayLayout[],
): { array: string; value: number } | undefined {
  const index = values.findIndex((value) => !Number.isFinite(value));
  const array = arrays.find(({ offset, size }) => index >= offset && index < offset + size);
  return array && { array: array.name, value: values[index] };
}

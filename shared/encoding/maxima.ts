// Largest absolute value of each array of a network, over one or more gradients. Pure.
import type { ArrayLayout } from '../network/layout.js';

/**
 * Raises maxima to those of other gradients. The result does not depend on the order of the gradients. NaN counts as
 * larger than every number.
 */
export function raiseMaxima(maxima: Float32Array, others: Float32Array): void {
  for (const [index, other] of others.entries()) {
    if (other > maxima[index] || Number.isNaN(other)) maxima[index] = other;
  }
}

/** Raises maxima to those of a gradient. */
export function raiseMaximaBy(gradient: Float32Array, arrays: readonly ArrayLayout[], maxima: Float32Array): void {
  for (const [index, { offset, size }] of arrays.entries()) {
    for (let i = offset; i < offset + size; i++) {
      const value = Math.abs(gradient[i]);
      if (value > maxima[index] || Number.isNaN(value)) maxima[index] = value;
    }
  }
}

// Chooses the scales with which the next step's gradients are rounded to 8 bits. Pure.
import { maxInt8 } from '../../shared/encoding/encodings.js';

/**
 * How much larger than in this step a gradient may be in the next one before its largest values are clipped. A larger
 * margin clips less and rounds more coarsely.
 */
const margin = 1.5;

/**
 * Returns the scales for the next step, one per array.
 * @param maxima largest absolute value of each array over all slices of this step, before clipping; finite
 * @param previous this step's scales, which an array whose gradient is 0 everywhere keeps
 * @param isShort whether this was a round with fewer local steps than most. The next round is longer and has larger
 * differences, so scales do not shrink.
 */
export function gradientScalesAfter(
  maxima: Float32Array,
  previous: Float32Array | undefined,
  isShort = false,
): Float32Array {
  return maxima.map((maximum, index) => {
    const before = previous?.[index] ?? 0;
    if (maximum === 0) return before;
    const scale = (margin * maximum) / maxInt8;
    return isShort ? Math.max(before, scale) : scale;
  });
}

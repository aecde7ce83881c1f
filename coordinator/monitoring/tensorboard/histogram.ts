// Computes the histogram of an array's values. Pure.
import type { Histogram } from './event-message.js';

/** Number of buckets, as in Keras's TensorBoard callback. */
const bucketCount = 30;

/**
 * Counts the finite values in buckets of equal width, from the smallest value to the largest. Non-finite values are not
 * counted.
 */
export function histogramOf(values: Float32Array): Histogram {
  let min = Infinity;
  let max = -Infinity;
  let count = 0;
  let sum = 0;
  let sumOfSquares = 0;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value < min) min = value;
    if (value > max) max = value;
    count++;
    sum += value;
    sumOfSquares += value * value;
  }
  if (count === 0)
    return { min: 0, max: 0, count, sum, sumOfSquares, limits: Float64Array.of(0), counts: Float64Array.of(0) };
  if (min === max)
    return { min, max, count, sum, sumOfSquares, limits: Float64Array.of(max), counts: Float64Array.of(count) };
  const width = (max - min) / bucketCount;
  const limits = Float64Array.from({ length: bucketCount }, (_, bucket) => min + width * (bucket + 1));
  limits[bucketCount - 1] = max;
  const counts = new Float64Array(bucketCount);
  for (const value of values) {
    // The largest value belongs to the last bucket.
    if (Number.isFinite(value)) counts[Math.min(bucketCount - 1, Math.floor((value - min) / width))]++;
  }
  return { min, max, count, sum, sumOfSquares, limits, counts };
}

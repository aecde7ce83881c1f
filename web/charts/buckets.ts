// Reduces a long series to fewer points: each is the mean of a bucket of adjacent values, with their minimum and
// maximum. Pure; used in Node and in browsers.

export interface Buckets {
  /** x coordinate of the last value in each bucket. */
  x: number[];
  mean: number[];
  low: number[];
  high: number[];
}

/**
 * Returns the smallest power of two that gives at most `limit` buckets. With powers of two, the points of runs
 * of different lengths share x coordinates.
 */
export function bucketSizeFor(count: number, limit: number): number {
  return 2 ** Math.max(0, Math.ceil(Math.log2(count / limit)));
}

/**
 * Splits values into buckets. Skips values that are not finite, and buckets without finite values.
 * @param x x coordinate of each value, in ascending order
 * @param size number of values in each bucket but the last; at least 1
 */
export function bucketsOf(x: readonly number[], values: readonly number[], size: number): Buckets {
  const buckets: Buckets = { x: [], mean: [], low: [], high: [] };
  for (let start = 0; start < values.length; start += size) {
    const end = Math.min(start + size, values.length);
    let sum = 0;
    let count = 0;
    let low = Infinity;
    let high = -Infinity;
    for (let i = start; i < end; i++) {
      const value = values[i];
      if (!Number.isFinite(value)) continue;
      sum += value;
      count++;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
    if (count === 0) continue;
    buckets.x.push(x[end - 1]);
    buckets.mean.push(sum / count);
    buckets.low.push(low);
    buckets.high.push(high);
  }
  return buckets;
}

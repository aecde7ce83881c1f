// Long series as at most so many points: each the mean of a bucket of neighbors, with the lowest and highest of them.
// Pure; it runs in Node and in browsers.

export interface Buckets {
  /** x of each bucket's last value. */
  x: number[];
  mean: number[];
  low: number[];
  high: number[];
}

/** Values in each bucket: the smallest power of two that leaves at most `limit` buckets, so that curves of runs of other lengths still share points. */
export function bucketSizeFor(count: number, limit: number): number {
  return 2 ** Math.max(0, Math.ceil(Math.log2(count / limit)));
}

/**
 * Values that are not finite are left out of their bucket; a bucket without any other is left out itself.
 * @param x ascending, one for each value
 * @param size values in each bucket but the last, at least 1
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

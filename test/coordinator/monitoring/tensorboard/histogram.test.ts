import { expect, it } from 'vitest';
import { histogramOf } from '../../../../coordinator/monitoring/tensorboard/histogram.js';

it('a histogram has thirty equal buckets from the smallest to the largest value', () => {
  // Buckets are (15 − 0) / 30 = 0.5 wide: 0 is in bucket 0, 0.5 and 0.75 are in bucket 1, and 15 is in the last one.
  const { min, max, count, sum, sumOfSquares, limits, counts } = histogramOf(Float32Array.of(0.5, 0, 15, 0.75));
  expect({ min, max, count, sum, sumOfSquares }).toEqual({
    min: 0,
    max: 15,
    count: 4,
    sum: 16.25,
    sumOfSquares: 0.25 + 225 + 0.5625,
  });
  expect([...limits]).toEqual(Array.from({ length: 30 }, (_, i) => 0.5 * (i + 1)));
  expect([...counts]).toEqual([1, 2, ...Array<number>(27).fill(0), 1]);
});

it('a histogram has one bucket if all values are equal, as initial biases are', () => {
  expect(histogramOf(Float32Array.of(2, 2, 2))).toMatchObject({
    min: 2,
    max: 2,
    count: 3,
    limits: Float64Array.of(2),
    counts: Float64Array.of(3),
  });
});

it('a histogram does not count values that are not finite, and may be empty', () => {
  expect(histogramOf(Float32Array.of(Infinity, 1, NaN, -Infinity))).toMatchObject({ min: 1, max: 1, count: 1, sum: 1 });
  expect(histogramOf(Float32Array.of(NaN))).toMatchObject({ min: 0, max: 0, count: 0, counts: Float64Array.of(0) });
});

it('a histogram has every value in a bucket, however the limits are rounded', () => {
  const values = Float32Array.from({ length: 10_000 }, (_, i) => Math.fround(1e-7 * Math.sin(i) + 0.1));
  const { counts, limits, max } = histogramOf(values);
  expect(counts.reduce((sum, value) => sum + value, 0)).toBe(10_000);
  expect(limits.at(-1)).toBe(max);
});

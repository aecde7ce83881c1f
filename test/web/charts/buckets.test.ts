// Reduction of a series to fewer points, and smoothing.
import { describe, expect, it } from 'vitest';
import { bucketsOf, bucketSizeFor } from '../../../web/charts/buckets.js';
import { smoothed } from '../../../web/charts/smoothing.js';

describe('buckets', () => {
  it('have the mean, minimum and maximum of neighbors, at the x of the last one', () => {
    expect(bucketsOf([1, 2, 3, 4, 5], [1, 3, 5, 9, 2], 2)).toEqual({
      x: [2, 4, 5],
      mean: [2, 7, 2],
      low: [1, 5, 2],
      high: [3, 9, 2],
    });
  });

  it('skip values that are not finite, and buckets that contain only such values', () => {
    expect(bucketsOf([1, 2, 3, 4], [NaN, 4, Infinity, NaN], 2)).toEqual({ x: [2], mean: [4], low: [4], high: [4] });
  });

  it('of size 1 are the values', () => {
    expect(bucketsOf([3, 7], [0.5, 0.25], 1)).toEqual({
      x: [3, 7],
      mean: [0.5, 0.25],
      low: [0.5, 0.25],
      high: [0.5, 0.25],
    });
  });

  it.each([
    [1, 1],
    [2048, 1],
    [2049, 2],
    [4096, 2],
    [64_000, 32], // 64,000 / 2,048 = 31.25
  ])('of %i steps in at most 2048 points have size %i', (count, size) => {
    expect(bucketSizeFor(count, 2048)).toBe(size);
  });
});

describe('smoothing', () => {
  it('is the weighted mean of the values so far', () => {
    // The weights are 1 for the first value; 1/2 and 1 for the second; 1/4, 1/2 and 1 for the third.
    const [first, second, third] = smoothed([4, 1, 6], 0.5);
    expect(first).toBe(4);
    expect(second).toBeCloseTo((0.5 * 4 + 1) / 1.5, 14);
    expect(third).toBeCloseTo((0.25 * 4 + 0.5 * 1 + 6) / 1.75, 14);
  });

  it('with weight 0 changes nothing, and never changes a constant', () => {
    expect(smoothed([3, 1, 2], 0)).toEqual([3, 1, 2]);
    smoothed([2, 2, 2], 0.99).forEach((value) => expect(value).toBeCloseTo(2, 12));
  });
});

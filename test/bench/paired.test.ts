import { describe, expect, it } from 'vitest';
import { summaryOf } from './paired.js';

describe('summaryOf', () => {
  it('interpolates the median and the quartiles', () => {
    // Sorted: 1, 2, 3, 4. The median is halfway between 2 and 3; the lower quartile is three quarters of the way from 1
    // to 2, the upper quartile one quarter of the way from 3 to 4.
    expect(summaryOf([4, 1, 3, 2])).toEqual({ median: 2.5, quartiles: [1.75, 3.25], interval: null });
  });

  it('returns a 95% confidence interval for the median if there are enough values', () => {
    // All 6 values are above the true median with probability 1/2^6 = 1/64, which is less than 1/40 (2.5% per side), so
    // their range is a 95% confidence interval. For 5 values the probability is 1/2^5 = 1/32, which is too high.
    expect(summaryOf([1, 2, 3, 4, 5, 6]).interval).toEqual([1, 6]);
    expect(summaryOf([1, 2, 3, 4, 5]).interval).toBeNull();
    // Ranks of the bounds from tables of the sign test, counted from either end: 4 for 16 values, 6 for 20, 14 for 40.
    const ranks = (count: number) => summaryOf(Array.from({ length: count }, (_, index) => index + 1)).interval;
    expect([ranks(16), ranks(20), ranks(40)]).toEqual([
      [4, 13],
      [6, 15],
      [14, 27],
    ]);
  });
});

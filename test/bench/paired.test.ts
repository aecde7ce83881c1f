import { describe, expect, it } from 'vitest';
import { summaryOf } from './paired.js';

describe('a summary', () => {
  it('has the median and the quartiles, between values where they lie there', () => {
    // Sorted 1 2 3 4: the median is halfway from 2 to 3, the lower quartile three quarters of the way from 1 to 2.
    expect(summaryOf([4, 1, 3, 2])).toEqual({ median: 2.5, quartiles: [1.75, 3.25], interval: null });
  });

  it('says where the true median lies with 95% certainty', () => {
    // Of 6 all lie on one side with probability 1/64 each way, below 1/40; of 5 it is 1/32.
    expect(summaryOf([1, 2, 3, 4, 5, 6]).interval).toEqual([1, 6]);
    expect(summaryOf([1, 2, 3, 4, 5]).interval).toBeNull();
    // Tables of the sign test: of 16 the 4th from either end, of 20 the 6th, of 40 the 14th.
    const ranks = (count: number) => summaryOf(Array.from({ length: count }, (_, index) => index + 1)).interval;
    expect([ranks(16), ranks(20), ranks(40)]).toEqual([
      [4, 13],
      [6, 15],
      [14, 27],
    ]);
  });
});

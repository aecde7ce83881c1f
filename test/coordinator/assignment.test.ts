import { describe, expect, it } from 'vitest';
import { shareSlices } from '../../coordinator/assignment.js';

describe('shareSlices', () => {
  it.each([
    // 8 slices to 3 workers: ceil(8/3) = 3, ceil(5/2) = 3, 2.
    [8, 3, [3, 3, 2]],
    [4, 1, [4]],
    [4, 2, [2, 2]],
    [5, 4, [2, 1, 1, 1]],
    [4, 4, [1, 1, 1, 1]],
    // Two spares.
    [2, 4, [1, 1]],
    [4, 0, []],
  ])('deals %i slices to %i workers as %j, one after the other', (sliceCount, workerCount, counts) => {
    const ranges = shareSlices(sliceCount, workerCount);
    expect(ranges.map((range) => range.count)).toEqual(counts);
    let next = 0;
    for (const { first, count } of ranges) {
      expect(first).toBe(next);
      next += count;
    }
  });

  it('leaves no slice out and differs by at most one, whatever the numbers', () => {
    for (let sliceCount = 1; sliceCount <= 33; sliceCount++) {
      for (let workerCount = 1; workerCount <= 40; workerCount++) {
        const counts = shareSlices(sliceCount, workerCount).map((range) => range.count);
        expect(counts.reduce((a, b) => a + b)).toBe(sliceCount);
        expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
        expect(counts.length).toBe(Math.min(sliceCount, workerCount));
      }
    }
  });
});

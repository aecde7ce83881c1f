import { expect, it } from 'vitest';
import { medianOf } from '../../shared/median.js';

it.each([
  [[3], 3],
  [[9, 1, 4], 4],
  // An even number of values: (1 + 5) / 2 = 3 and (2 + 5) / 2 = 3.5.
  [[5, 1], 3],
  [[5, 1, 9, 2], 3.5],
  [[10, 9, 100], 10],
  [[], NaN],
])('the median of %j is %d', (values, middle) => {
  expect(medianOf(values)).toBe(middle);
});

it('medianOf does not reorder its argument', () => {
  const values = [3, 1, 2];
  medianOf(values);
  expect(values).toEqual([3, 1, 2]);
});

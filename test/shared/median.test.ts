import { expect, it } from 'vitest';
import { medianOf } from '../../shared/median.js';

it.each([
  [[3], 3],
  [[9, 1, 4], 4],
  // (1 + 5) / 2, and (2 + 5) / 2.
  [[5, 1], 3],
  [[5, 1, 9, 2], 3.5],
  [[10, 9, 100], 10],
  [[], NaN],
])('the median of %j is %d', (values, middle) => {
  expect(medianOf(values)).toBe(middle);
});

it('the values stay in their order', () => {
  const values = [3, 1, 2];
  medianOf(values);
  expect(values).toEqual([3, 1, 2]);
});

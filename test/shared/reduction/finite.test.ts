import { expect, it } from 'vitest';
import { firstNotFinite } from '../../../shared/reduction/finite.js';

it('firstNotFinite returns the first value that is not finite and the name of its array', () => {
  const arrays = [
    { name: 'stem/kernel', shape: [2], offset: 0, size: 2 },
    { name: 'dense/bias', shape: [2], offset: 2, size: 2 },
  ];
  expect(firstNotFinite(Float32Array.of(1, 2, 3, NaN), arrays)).toEqual({ array: 'dense/bias', value: NaN });
  expect(firstNotFinite(Float32Array.of(1, -Infinity, NaN, 4), arrays)).toEqual({
    array: 'stem/kernel',
    value: -Infinity,
  });
  expect(firstNotFinite(Float32Array.of(1, 2, 3, 4), arrays)).toBeUndefined();
});

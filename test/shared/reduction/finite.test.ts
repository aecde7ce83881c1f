import { describe, expect, it } from 'vitest';
import { areFinite, firstNotFinite } from '../../../shared/reduction/finite.js';

describe('areFinite', () => {
  it('is true for finite numbers, including the largest and the smallest, and for an empty vector', () => {
    expect(areFinite(Float32Array.of(0, -0, 3.4e38, -3.4e38, 1.4e-45))).toBe(true);
    expect(areFinite(new Float32Array(1000).fill(3.4e38))).toBe(true);
    expect(areFinite(new Float32Array())).toBe(true);
  });

  it.each([NaN, Infinity, -Infinity])('finds %d at every index of vectors of every length', (value) => {
    for (let length = 1; length <= 20; length++) {
      for (let index = 0; index < length; index++) {
        const values = new Float32Array(length).fill(1);
        values[index] = value;
        expect(areFinite(values)).toBe(false);
      }
    }
  });
});

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

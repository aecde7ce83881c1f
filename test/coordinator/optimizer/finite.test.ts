import { describe, expect, it } from 'vitest';
import { areFinite } from '../../../coordinator/optimizer/finite.js';

describe('areFinite', () => {
  it('is true for finite numbers, including the largest and the smallest, and for an empty vector', () => {
    expect(areFinite(Float32Array.of(0, -0, 3.4e38, -3.4e38, 1.4e-45))).toBe(true);
    expect(areFinite(new Float32Array(1000).fill(3.4e38))).toBe(true);
    expect(areFinite(new Float32Array())).toBe(true);
  });

  it.each([0, 4095, 4096, 8191, 8192, 9999])(
    'finds a NaN at index %i of a vector longer than the kernel checks at once',
    (index) => {
      const values = new Float32Array(10_000).fill(1);
      expect(areFinite(values)).toBe(true);
      values[index] = NaN;
      expect(areFinite(values)).toBe(false);
      // The shorter part at the end must not see values of an earlier part.
      values[index] = 1;
      expect(areFinite(values)).toBe(true);
    },
  );

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

import { describe, expect, it } from 'vitest';
import { PartialSumFormat, type PartialSumPayload } from '../../../shared/encoding/partial-sum.js';
import { KeyedRandom } from '../../../shared/random.js';
import { loadRoundingKernels } from '../../../worker/encoding/rounding-kernels.js';
import { SliceEncoder } from '../../../worker/encoding/slice-encoder.js';
import { roundedGradient } from '../../support/rounded-gradient.js';

/** Returns a layout with one array of each size. */
function layoutOf(...sizes: number[]) {
  let weightsSize = 0;
  const weights = sizes.map((size, index) => {
    const array = { name: `array${index}`, shape: [size], offset: weightsSize, size };
    weightsSize += size;
    return array;
  });
  return { weights, weightsSize };
}
type Layout = ReturnType<typeof layoutOf>;

const kernels = await loadRoundingKernels();
const seed = 2 ** 40 + 7;

function payloadFor(layout: Layout, sliceCount: number): PartialSumPayload {
  const format = new PartialSumFormat({ ...layout, statisticsSize: 0 }, 'int8');
  return format.viewsOf(new Float32Array(format.payloadFloats(sliceCount)), sliceCount);
}

function encode(layout: Layout, gradient: Float32Array, scales: Float32Array, step = 5, slice = 3) {
  const { sum, maxima } = payloadFor(layout, 1);
  const encoder = new SliceEncoder(layout, seed, kernels);
  const clippedCount = encoder.add(gradient, { step, slice, scales }, { sum, maxima }, true);
  return { integers: sum, maxima, clippedCount };
}

/** Returns values from -size to size. */
function noise(count: number, size: number): Float32Array {
  const random = new KeyedRandom(count, 'synthesis');
  return Float32Array.from({ length: count }, (_, i) => size * (2 * random.uniformAt(i) - 1));
}

describe('a rounded gradient', () => {
  it.each([1, 3, 7, 8, 9, 15, 16, 17, 200])(
    'has the bits of the simple implementation, with an array of %i values between others',
    (size) => {
      const layout = layoutOf(3, size, 1, size, 5);
      const gradient = noise(layout.weightsSize, 2);
      const scales = Float32Array.of(0.011, 0.02, 0.5, 2 / 127, 0.0001);
      const expected = roundedGradient(gradient, layout.weights, scales, { seed, step: 5, slice: 3 });
      expect(encode(layout, gradient, scales)).toEqual(expected);
      expect(expected.clippedCount).toBeGreaterThan(0);
    },
  );

  it('has the bits of the simple implementation for values of every magnitude', () => {
    const special = [0, -0, 1e-45, -1e-45, 1e-38, 3.4e38, -3.4e38, 126.99999, 127, -127, 127.00001, -127.5, 0.5, -0.5];
    const gradient = Float32Array.from({ length: 800 }, (_, i) => special[i % special.length]);
    const layout = layoutOf(gradient.length);
    for (const scale of [1, 1e-45, 3e-39, 1e30]) {
      const scales = Float32Array.of(scale);
      const key = { seed, step: 5, slice: 3 };
      expect(encode(layout, gradient, scales)).toEqual(roundedGradient(gradient, layout.weights, scales, key));
    }
  });

  it('depends on the seed, the step and the slice', () => {
    const layout = layoutOf(64);
    const gradient = noise(64, 1);
    const scales = Float32Array.of(1);
    const integersOf = (step: number, slice: number) => [...encode(layout, gradient, scales, step, slice).integers];
    const all = [integersOf(5, 3), integersOf(5, 4), integersOf(6, 3)].map((integers) => integers.join());
    expect(new Set(all).size).toBe(3);
    expect(integersOf(5, 3)).toEqual(integersOf(5, 3));
  });

  it('is right on average', () => {
    // A value of 0.3 scales becomes 1 with probability 0.3, so the mean of 40,000 has a standard deviation of
    // sqrt(0.3 × 0.7 / 40,000) = 0.0023. Six of them are 0.0137.
    for (const value of [0.3, -0.3, 41.3, -126.7]) {
      const layout = layoutOf(40_000);
      const gradient = new Float32Array(40_000).fill(value * 0.5);
      const { integers, clippedCount } = encode(layout, gradient, Float32Array.of(0.5));
      const mean = [...integers].reduce((sum, integer) => sum + integer, 0) / integers.length;
      expect(Math.abs(mean - value)).toBeLessThan(0.0137);
      expect(new Set(integers)).toEqual(new Set([Math.floor(value), Math.ceil(value)]));
      expect(clippedCount).toBe(0);
    }
  });

  it('keeps whole multiples of the scale', () => {
    const integers = Float32Array.from({ length: 255 }, (_, i) => i - 127);
    const gradient = integers.map((value) => value / 4);
    const encoded = encode(layoutOf(255), gradient, Float32Array.of(0.25));
    expect([...encoded.integers]).toEqual([...integers]);
    expect(encoded).toMatchObject({ clippedCount: 0, maxima: Float32Array.of(31.75) });
  });

  it('is clipped where it exceeds 127 scales, and reports the value before clipping', () => {
    const gradient = Float32Array.of(300, -200, 127, 1, 2, 3, 4, 5, 6);
    expect(encode(layoutOf(9), gradient, Float32Array.of(1))).toEqual({
      integers: Int8Array.of(127, -127, 127, 1, 2, 3, 4, 5, 6),
      maxima: Float32Array.of(300),
      clippedCount: 2,
    });
  });

  it('is 0 if the scale is 0, and counts the other values as clipped', () => {
    const { integers, clippedCount } = encode(layoutOf(4), Float32Array.of(0, -0, 0, 0), Float32Array.of(0));
    expect([...integers]).toEqual([0, 0, 0, 0]);
    expect(clippedCount).toBe(0);
    // The integers are multiplied by the scale again.
    expect(encode(layoutOf(4), Float32Array.of(0, 1, -1, 0), Float32Array.of(0)).clippedCount).toBe(2);
  });

  it.each([NaN, Infinity, -Infinity])('reports a value of %d, which integers cannot represent', (value) => {
    const layout = layoutOf(3, 11, 2);
    for (const at of [0, 2, 3, 8, 12, 13, 15]) {
      const gradient = noise(16, 1);
      gradient[at] = value;
      const { maxima } = encode(layout, gradient, Float32Array.of(1, 1, 1));
      const array = layout.weights.findIndex(({ offset, size }) => at < offset + size);
      expect([...maxima].map((maximum) => Number.isFinite(maximum))).toEqual([0, 1, 2].map((each) => each !== array));
      expect(maxima[array]).toBe(Math.abs(value));
    }
  });
});

describe('a partial sum over several slices', () => {
  it.each([
    [1, Int8Array],
    [2, Int16Array],
    [258, Int16Array],
    [259, Int32Array],
  ])('%i has the narrowest integers that hold it', (sliceCount, type) => {
    const layout = layoutOf(5);
    const payload = payloadFor(layout, sliceCount);
    expect(payload.sum).toBeInstanceOf(type);
    const encoder = new SliceEncoder(layout, seed, kernels);
    const gradient = Float32Array.of(127, -127, 0, 1, 500);
    for (let slice = 0; slice < sliceCount; slice++) {
      encoder.add(gradient, { step: 0, slice, scales: Float32Array.of(1) }, payload, slice === 0);
    }
    expect([...payload.sum]).toEqual([127, -127, 0, 1, 127].map((value) => sliceCount * value));
    expect([...payload.maxima]).toEqual([500]);
  });
});

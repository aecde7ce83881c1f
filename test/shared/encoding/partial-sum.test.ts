import { describe, expect, it } from 'vitest';
import type { Encoding } from '../../../shared/encoding/encodings.js';
import { gradientBytes, weightsBytes } from '../../../shared/encoding/exchange-size.js';
import { raiseMaxima, raiseMaximaBy } from '../../../shared/encoding/maxima.js';
import { PartialSumFormat, type SumEncoding } from '../../../shared/encoding/partial-sum.js';
import { decodeSum } from '../../../shared/encoding/scaled-values.js';
import { accumulatorFor } from '../../../shared/encoding/sum-accumulator.js';
import { alignedRanges } from '../../../shared/reduction/slices.js';
import { bitsOf, treeSum } from '../../support/tree-sum.js';

const arrays = [
  { name: 'a', shape: [2], offset: 0, size: 2 },
  { name: 'b', shape: [3], offset: 2, size: 3 },
];
const layout = { weights: arrays, weightsSize: 5, statisticsSize: 3 };

function offsetsOf(encoding: SumEncoding, sliceCount: number) {
  const format = new PartialSumFormat(layout, encoding);
  const payload = new Float32Array(format.payloadFloats(sliceCount));
  const views = format.viewsOf(payload, sliceCount);
  const span = ({ byteOffset, byteLength }: ArrayBufferView) => [byteOffset, byteOffset + byteLength];
  return {
    bytes: payload.byteLength,
    sum: span(views.sum),
    statistics: span(views.batchStatistics),
    maxima: span(views.maxima),
  };
}

describe('the payload of a partial sum', () => {
  it('is the sum, then the batch statistics, if the encoding is float32', () => {
    // 5 values, then 2 × 3 statistics.
    expect(offsetsOf('float32', 2)).toMatchObject({ bytes: 44, sum: [0, 20], statistics: [20, 44] });
  });

  it('also has the maxima in a step of an int8 run without scales', () => {
    const offsets = offsetsOf('float32-with-maxima', 2);
    expect(offsets).toEqual({ bytes: 52, sum: [0, 20], statistics: [20, 44], maxima: [44, 52] });
  });

  it('ends with integers in a step with scales, filled up to whole float32 values', () => {
    // 3 statistics, 2 maxima, 5 integers and 3 unused bytes; for two slices, 6 statistics, 2 maxima, 10 bytes and 2 unused.
    expect(offsetsOf('int8', 1)).toEqual({ bytes: 28, sum: [20, 25], statistics: [0, 12], maxima: [12, 20] });
    expect(offsetsOf('int8', 2)).toEqual({ bytes: 44, sum: [32, 42], statistics: [0, 24], maxima: [24, 32] });
  });
});

describe('the parts in which the sum over a range travels', () => {
  const partsOf = (encoding: SumEncoding, count: number) =>
    new PartialSumFormat(layout, encoding).partsOf({ first: 8, count }).map((range) => [range.first, range.count]);

  it('are two slices with integers, which take as much space as their sum', () => {
    expect(partsOf('int8', 1)).toEqual([[8, 1]]);
    expect(partsOf('int8', 2)).toEqual([
      [8, 1],
      [9, 1],
    ]);
  });

  it('are the range itself where its parts would take more space', () => {
    for (const count of [3, 4, 64]) expect(partsOf('int8', count)).toEqual([[8, count]]);
    for (const encoding of ['float32', 'float32-with-maxima'] as const) expect(partsOf(encoding, 2)).toEqual([[8, 2]]);
  });
});

describe('integer sums', () => {
  it('have the same total in any order of arrival, decoded with one rounding', () => {
    const whole = { first: 0, count: 3 };
    const sums = [
      { range: { first: 0, count: 2 }, sum: Int16Array.of(254, -254, 3, 0, 1) },
      { range: { first: 2, count: 1 }, sum: Int8Array.of(127, -127, 4, 0, -1) },
    ];
    for (const order of [sums, sums.toReversed()]) {
      const accumulator = accumulatorFor(whole, 3, 'int8');
      expect(accumulator.total).toBeUndefined();
      for (const { range, sum } of order) accumulator.add(range, sum.slice());
      const decoded = decodeSum(accumulator.total as Int32Array, Float32Array.of(0.1, 0.3), arrays);
      expect([...decoded]).toEqual(
        [381 * Math.fround(0.1), -381 * Math.fround(0.1), 7 * Math.fround(0.3), 0, 0].map(Math.fround),
      );
    }
  });

  it('are not mixed with float32 sums', () => {
    const range = { first: 0, count: 1 };
    expect(() => accumulatorFor(range, 1, 'int8').add(range, new Float32Array(5))).toThrow(TypeError);
    expect(() => accumulatorFor(range, 1, 'float32').add(range, new Int8Array(5))).toThrow(TypeError);
  });
});

it('float32 sums over a part of the slices are added in tree order', () => {
  const slices = Array.from({ length: 7 }, (_, slice) => Float32Array.of(slice === 4 ? 2 ** 24 : 1 + slice / 3));
  const range = { first: 4, count: 3 };
  for (const reversed of [false, true]) {
    const accumulator = accumulatorFor(range, 7, 'float32');
    const parts = [...alignedRanges({ first: 4, count: 1 }, 7), ...alignedRanges({ first: 5, count: 2 }, 7)];
    for (const part of reversed ? parts.toReversed() : parts) {
      expect(accumulator.total).toBeUndefined();
      accumulator.add(part, treeSum(slices, part.first, part.count));
    }
    expect(bitsOf(accumulator.total as Float32Array)).toEqual(bitsOf(treeSum(slices, 4, 3)));
  }
});

describe('an accumulator returns the sums whose memory is no longer needed', () => {
  const slice = (first: number) => ({ first, count: 1 });

  it('once two sums have been added up in float32', () => {
    const accumulator = accumulatorFor({ first: 0, count: 4 }, 4, 'float32');
    const sums = [1, 2, 3, 4].map((value) => Float32Array.of(value));
    expect(accumulator.add(slice(1), sums[1])).toEqual([]);
    expect(accumulator.add(slice(2), sums[2])).toEqual([]);
    // Slice 0 is added to slice 1, its sibling.
    expect(accumulator.add(slice(0), sums[0])).toEqual([sums[0]]);
    // Slice 3 is added to slice 2, and the two to the others.
    expect(accumulator.add(slice(3), sums[3])).toEqual([sums[3], sums[2]]);
    expect(accumulator.total).toBe(sums[1]);
  });

  it('at once for integers', () => {
    const accumulator = accumulatorFor({ first: 0, count: 2 }, 2, 'int8');
    const sums = [Int8Array.of(1), Int8Array.of(2)];
    expect(sums.map((sum, first) => accumulator.add(slice(first), sum))).toEqual([[sums[0]], [sums[1]]]);
  });
});

describe('maxima', () => {
  it('are the largest absolute values of each array', () => {
    const maxima = new Float32Array(2);
    raiseMaximaBy(Float32Array.of(-3, 2, 0, 1, -0.5), arrays, maxima);
    expect([...maxima]).toEqual([3, 1]);
    raiseMaximaBy(Float32Array.of(1, 1, 9, 0, 0), arrays, maxima);
    expect([...maxima]).toEqual([3, 9]);
  });

  it('stay NaN or infinite', () => {
    const maxima = Float32Array.of(1, 1);
    raiseMaximaBy(Float32Array.of(0, NaN, 0, -Infinity, 0), arrays, maxima);
    for (const others of [Float32Array.of(5, 5), Float32Array.of(0, 0)]) raiseMaxima(maxima, others);
    expect([...maxima]).toEqual([NaN, Infinity]);
    const merged = Float32Array.of(5, 5);
    raiseMaxima(merged, maxima);
    expect([...merged]).toEqual([NaN, Infinity]);
  });
});

it('what a step exchanges shrinks to almost a quarter with int8 and one slice per worker', () => {
  const size = 270_410;
  const resnet20 = {
    weights: Array.from({ length: 78 }, (_, index) => ({ name: String(index), shape: [], offset: index, size: 1 })),
    weightsSize: size,
    statisticsSize: 1376,
  };
  const bytes = (encoding: Encoding, slices: number) =>
    weightsBytes(resnet20, encoding) + gradientBytes(resnet20, encoding, slices);
  expect(bytes('float32', 1)).toBe(2 * 4 * (size + 1376));
  // 1 byte per value, rounded up to 4 in gradients, 2 × 1376 statistics, 2 × 78 scales and 78 maxima.
  expect(bytes('int8', 1)).toBe(size + (size + 2) + 4 * (2 * 1376 + 3 * 78));
  expect(bytes('int8', 1) / bytes('float32', 1)).toBeLessThan(0.26);
  expect(bytes('int8', 2) / bytes('float32', 2)).toBeLessThan(0.39);
});

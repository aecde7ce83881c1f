import { describe, expect, it } from 'vitest';
import { gradientScalesAfter } from '../../../coordinator/encoding/gradient-scales.js';
import { PublishedWeights } from '../../../coordinator/encoding/published-weights.js';
import { KeyedRandom } from '../../../shared/random.js';
import { bitsOf } from '../../support/tree-sum.js';
import { resnetLayout } from '../../support/resnet-layout.js';

const layout = resnetLayout();
const { weightsSize } = layout;
const maxima = new Float32Array(layout.weights.length).fill(1);

function noise(index: number, size: number): Float32Array {
  const random = new KeyedRandom(index, 'synthesis');
  return Float32Array.from({ length: weightsSize }, (_, i) => size * (2 * random.uniformAt(i) - 1));
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  return a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - b[i])), 0);
}

function publishing(weights: Float32Array): PublishedWeights {
  return new PublishedWeights(layout, { weights, gradientScales: undefined });
}

describe('published weights', () => {
  it('start as a copy of the initial weights, without gradient scales', () => {
    const initial = noise(1, 1);
    const published = publishing(initial);
    expect(bitsOf(published.weights)).toEqual(bitsOf(initial));
    expect(published.weights).not.toBe(initial);
    expect(published).toMatchObject({ gradientScales: undefined, difference: undefined });
  });

  it('follow an update up to the rounding of its largest change', () => {
    const before = noise(1, 1);
    const change = noise(2, 0.01);
    const after = before.map((value, i) => value + change[i]);
    const published = publishing(before);
    published.follow(after, 0, maxima);
    // Half of 0.01 / 127, and the rounding of float32.
    expect(largestDifference(published.weights, after)).toBeLessThan(0.01 / 127 / 2 + 1e-6);
    expect(largestDifference(published.weights, after)).toBeGreaterThan(0.01 / 127 / 4);
    expect(Math.max(...published.difference!.integers)).toBe(127);
  });

  it('reach weights that stand still', () => {
    const own = noise(3, 1);
    const published = publishing(noise(4, 1));
    const differences = Array.from({ length: 6 }, () => {
      published.follow(own, 0, maxima);
      return largestDifference(published.weights, own);
    });
    // Each difference leaves at most 1/254 of the one before, until float32 itself cannot represent it.
    expect(differences[0]).toBeLessThan(2 / 250);
    expect(differences[1]).toBeLessThan(2 / 250 / 250);
    expect(bitsOf(published.weights)).toEqual(bitsOf(own));
    expect(differences.at(-1)).toBe(0);
  });

  it('keep what rounding leaves out for later differences', () => {
    // One weight moves by 1 in each step; another one by 0.001, which is less than half of a scale of 1/127.
    const own = new Float32Array(weightsSize);
    const published = publishing(own);
    for (let step = 0; step < 1000; step++) {
      own[0] += 1;
      own[1] += 0.001;
      published.follow(own, 0, maxima);
    }
    expect(own[1]).toBeCloseTo(1, 4);
    expect(Math.abs(published.weights[1] - own[1])).toBeLessThan(1 / 127);
  });

  it('do not change where the own weights do not, and have a scale of 0 there', () => {
    const own = noise(5, 1);
    const published = publishing(own);
    const [first] = layout.weights;
    const after = own.map((value, i) => (i < first.size ? value : value + 0.1));
    published.follow(after, 0, maxima);
    expect(published.difference!.scales[0]).toBe(0);
    expect(bitsOf(published.weights.subarray(0, first.size))).toEqual(bitsOf(own.subarray(0, first.size)));
    // A difference overwrites the previous one.
    published.follow(after, 0, maxima);
    published.follow(after, 0, maxima);
    expect([...published.difference!.integers.subarray(0, first.size)].some((value) => value !== 0)).toBe(false);
  });

  it('follow tiny and huge differences without leaving the range of the integers', () => {
    for (const size of [1.5e-45, 1e-43, 1e-40, 1e37]) {
      const own = noise(6, 1).map((value) => value * size);
      const published = publishing(new Float32Array(weightsSize));
      published.follow(own, 0, maxima);
      const { integers } = published.difference!;
      expect(integers.every((value) => value >= -127)).toBe(true);
      expect(largestDifference(published.weights, own)).toBeLessThanOrEqual(size);
    }
  });
});

describe('the gradient scales of the next step', () => {
  it('leave room for half again the largest values of this step', () => {
    expect([...gradientScalesAfter(Float32Array.of(127, 254), undefined)]).toEqual([1.5, 3]);
  });

  it('do not shrink after a round with fewer local steps than most', () => {
    const maximaOfRound = Float32Array.of(127, 254, 0);
    expect([...gradientScalesAfter(maximaOfRound, Float32Array.of(2, 2, 5), true)]).toEqual([2, 3, 5]);
    expect([...gradientScalesAfter(maximaOfRound, undefined, true)]).toEqual([1.5, 3, 0]);
  });

  it('are the previous ones where the gradient was 0, or 0 if it always was', () => {
    expect([...gradientScalesAfter(Float32Array.of(0, 127), Float32Array.of(3, 4))]).toEqual([3, 1.5]);
    expect([...gradientScalesAfter(Float32Array.of(0, 127), undefined)]).toEqual([0, 1.5]);
  });
});

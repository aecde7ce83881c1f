import { expect, it } from 'vitest';
import { updateMovingStatistics } from '../../../shared/optimizer/moving-statistics.js';
import { KeyedRandom } from '../../../shared/random.js';
import { bitsOf } from '../../support/tree-sum.js';

it('updateMovingStatistics makes one Keras update per slice, in slice order', () => {
  const moving = Float32Array.of(0, 1);
  updateMovingStatistics(moving, [Float32Array.of(2, 3), Float32Array.of(4, 5)], 0.5);
  // First value: 0.5 × 0 + 0.5 × 2 = 1, then 0.5 × 1 + 0.5 × 4 = 2.5.
  // Second value: 0.5 × 1 + 0.5 × 3 = 2, then 0.5 × 2 + 0.5 × 5 = 3.5.
  expect([...moving]).toEqual([2.5, 3.5]);
});

it('updateMovingStatistics depends on the order of the slices', () => {
  const moving = Float32Array.of(0);
  updateMovingStatistics(moving, [Float32Array.of(4), Float32Array.of(2)], 0.5);
  // 0.5 × 0 + 0.5 × 4 = 2, then 0.5 × 2 + 0.5 × 2 = 2. In the other order: 1, then 2.5.
  expect([...moving]).toEqual([2]);
});

it('updateMovingStatistics rounds every operation to float32, including the factors', () => {
  const f = Math.fround;
  const random = new KeyedRandom(0, 'synthesis');
  const [moving, batch] = [0, 1].map((vector) =>
    Float32Array.from({ length: 500 }, (_, i) => random.uniformAt(500 * vector + i)),
  );
  const expected = moving.map((value, i) => f(f(f(0.99) * value) + f(f(1 - 0.99) * batch[i])));
  const roundedAtTheEnd = moving.map((value, i) => f(0.99 * value + (1 - 0.99) * batch[i]));
  const factorsNotRounded = moving.map((value, i) => f(f(0.99 * value) + f((1 - 0.99) * batch[i])));
  updateMovingStatistics(moving, [batch], 0.99);
  expect(bitsOf(moving)).toEqual(bitsOf(expected));
  // With fewer roundings, the bits of these values would differ, so the test would detect a missing one.
  expect(bitsOf(roundedAtTheEnd)).not.toEqual(bitsOf(expected));
  expect(bitsOf(factorsNotRounded)).not.toEqual(bitsOf(expected));
});

it('updateMovingStatistics leaves the statistics unchanged with a momentum of 1', () => {
  const moving = Float32Array.of(0.3, 1);
  updateMovingStatistics(moving, [Float32Array.of(7, 7)], 1);
  expect(moving).toEqual(Float32Array.of(0.3, 1));
});

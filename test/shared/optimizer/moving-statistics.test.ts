import { expect, it } from 'vitest';
import { applyFoldedStatistics, updateMovingStatistics } from '../../../shared/optimizer/moving-statistics.js';
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

it('applyFoldedStatistics makes the updates of all local steps, slice after slice', () => {
  const moving = Float32Array.of(8);
  // Two steps per slice. First slice, batches 4 and 8: 0.5 × (0.5 × 0 + 0.5 × 4) + 0.5 × 8 = 5. Second slice, batches
  // 16 and 2: 0.5 × (0.5 × 0 + 0.5 × 16) + 0.5 × 2 = 5.
  applyFoldedStatistics(moving, [Float32Array.of(5), Float32Array.of(5)], 0.5, 2);
  // One update after the other: 8, 6, 7, 11.5, 6.75. Folded: 0.25 × 8 + 5 = 7, then 0.25 × 7 + 5 = 6.75.
  expect([...moving]).toEqual([6.75]);
});

it('applyFoldedStatistics has the bits of updateMovingStatistics if a round has one step', () => {
  const random = new KeyedRandom(0, 'synthesis');
  const vector = (index: number) => Float32Array.from({ length: 100 }, (_, i) => random.uniformAt(100 * index + i));
  const [moving, expected] = [vector(0), vector(0)];
  const slices = [vector(1), vector(2)];
  updateMovingStatistics(expected, slices, 0.99);
  const folded = slices.map((slice) => {
    const updated = new Float32Array(slice.length);
    updateMovingStatistics(updated, [slice], 0.99);
    return updated;
  });
  applyFoldedStatistics(moving, folded, 0.99, 1);
  expect(bitsOf(moving)).toEqual(bitsOf(expected));
});

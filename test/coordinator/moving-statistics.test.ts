import { expect, it } from 'vitest';
import { foldBatchStatistics } from '../../coordinator/moving-statistics.js';

it("moves by a whole step of Keras's average for each slice, in slice order", () => {
  const moving = Float32Array.of(0, 1);
  foldBatchStatistics(moving, [Float32Array.of(2, 3), Float32Array.of(4, 5)], 0.5);
  // 0 → 0.5 × 0 + 0.5 × 2 = 1 → 0.5 × 1 + 0.5 × 4 = 2.5; 1 → 2 → 3.5.
  expect([...moving]).toEqual([2.5, 3.5]);
});

it('gives other statistics in another order of the slices', () => {
  const moving = Float32Array.of(0);
  foldBatchStatistics(moving, [Float32Array.of(4), Float32Array.of(2)], 0.5);
  // 0 → 2 → 2.
  expect([...moving]).toEqual([2]);
});

it('rounds each operation to float32', () => {
  const moving = Float32Array.of(0.3, 1);
  foldBatchStatistics(moving, [Float32Array.of(0.7, 0)], 0.99);
  const f = Math.fround;
  expect(moving[0]).toBe(f(f(f(0.99) * f(0.3)) + f(f(1 - 0.99) * f(0.7))));
  expect(moving[1]).toBe(f(0.99));
});

it('leaves the statistics as they are with a momentum of 1', () => {
  const moving = Float32Array.of(0.3, 1);
  foldBatchStatistics(moving, [Float32Array.of(7, 7)], 1);
  expect(moving).toEqual(Float32Array.of(0.3, 1));
});

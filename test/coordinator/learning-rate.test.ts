import { describe, expect, it } from 'vitest';
import { learningRateAt } from '../../coordinator/learning-rate.js';
import { resolveConfig } from '../../shared/config.js';

describe("the recipe's learning rate", () => {
  // Keras's PiecewiseConstantDecay moves on when the step is greater than the boundary.
  it.each([
    [0, 0.1],
    [31_999, 0.1],
    [32_000, 0.1],
    [32_001, 0.01],
    [48_000, 0.01],
    [48_001, 0.001],
    [63_999, 0.001],
  ])("at step %i is Keras's %d in float32", (step, rate) => {
    expect(Math.fround(learningRateAt(step, resolveConfig({})))).toBe(Math.fround(rate));
  });
});

describe('learningRateAt', () => {
  it('stays the same without boundaries', () => {
    expect(learningRateAt(1_000_000, { learningRate: 0.3, learningRateBoundaries: [] })).toBe(0.3);
  });

  it('falls behind a boundary at 0 at step 1', () => {
    const schedule = { learningRate: 1, learningRateBoundaries: [0] };
    expect([0, 1].map((step) => learningRateAt(step, schedule))).toEqual([1, 0.1]);
  });
});

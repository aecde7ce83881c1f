import { describe, expect, it } from 'vitest';
import { OuterSgd } from '../../../coordinator/optimizer/outer-sgd.js';
import type { ModelLayout } from '../../../shared/network/layout.js';
import { resnetLayout } from '../../support/resnet-layout.js';

const array = { shape: [1], size: 1, trainable: true, initializer: 'zeros' } as const;
const layout: ModelLayout = {
  ...resnetLayout(),
  weights: [
    { ...array, name: 'a/kernel', offset: 0, weightDecay: true, learningRateFactor: 1 },
    { ...array, name: 'b/gamma', offset: 1, weightDecay: false, learningRateFactor: 64 },
    { ...array, name: 'c/kernel', offset: 2, weightDecay: true, learningRateFactor: 1, trainable: false },
  ],
  weightsSize: 3,
};

describe('the outer optimizer', () => {
  it('continues from the mean of the slices with a learning rate of 1 and no momentum', () => {
    const outer = new OuterSgd(layout, { outerLearningRate: 1, outerMomentum: 0, slices: 2 }, Float32Array.of(4, 8, 1));
    // One slice ends at 3 and 6, the other at 1 and 8: the differences are 1 and 2, and 3 and 0.
    outer.step(Float32Array.of(4, 2, 0));
    expect([...outer.weights]).toEqual([2, 7, 1]);
  });

  it('applies Nesterov momentum to the mean difference, alike in all arrays', () => {
    const options = { outerLearningRate: 0.5, outerMomentum: 0.5, slices: 2 };
    const outer = new OuterSgd(layout, options, Float32Array.of(0, 0, 1));
    // Mean difference 2. Velocity: 0.5 × 0 − 0.5 × 2 = −1. Weight: 0 + 0.5 × −1 − 0.5 × 2 = −1.5.
    outer.step(Float32Array.of(4, 4, 0));
    expect([...outer.weights]).toEqual([-1.5, -1.5, 1]);
    // Mean difference 1. Velocity: 0.5 × −1 − 0.5 × 1 = −1. Weight: −1.5 + 0.5 × −1 − 0.5 × 1 = −2.5.
    outer.step(Float32Array.of(2, 2, 0));
    expect([...outer.weights]).toEqual([-2.5, -2.5, 1]);
    expect([...outer.state['outer-velocity']]).toEqual([-1, -1, 0]);
  });

  it('does not make an update with a difference that is not finite', () => {
    const outer = new OuterSgd(layout, { outerLearningRate: 1, outerMomentum: 0, slices: 1 }, Float32Array.of(4, 8, 1));
    expect(outer.step(Float32Array.of(1, NaN, 0))).toBe('sum-not-finite');
    expect([...outer.weights]).toEqual([4, 8, 1]);
  });
});

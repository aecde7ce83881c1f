import { describe, expect, it } from 'vitest';
import { MomentumSgd, type MomentumSgdOptions } from '../../coordinator/momentum-sgd.js';
import { layoutModel, type ModelLayout } from '../../shared/model/layout.js';
import { KeyedRandom } from '../../shared/random.js';
import { bitsOf } from '../support/tree-sum.js';

const small = layoutModel({ depth: 8, initialFilters: 4, shortcut: 'identity', convBias: true, bnEpsilon: 0.001 });

/** A kernel of two weights and one weight of every other kind. */
const layout: ModelLayout = {
  ...small,
  trainable: [
    { name: 'a/bias', shape: [1], offset: 0, size: 1 },
    { name: 'a/kernel', shape: [2], offset: 1, size: 2 },
    { name: 'a/gamma', shape: [1], offset: 3, size: 1 },
    { name: 'a/beta', shape: [1], offset: 4, size: 1 },
  ],
  trainableSize: 5,
};
const plain: MomentumSgdOptions = { momentum: 0.5, nesterov: false, weightDecay: 0 };
const all = (value: number) => new Float32Array(5).fill(value);

describe('momentum', () => {
  it("keeps a part of the velocity: Keras's form", () => {
    const optimizer = new MomentumSgd(layout, plain);
    const weights = all(1);
    optimizer.step(weights, all(2), 0.25); // velocity 0.5 × 0 − 0.25 × 2 = −0.5, weight 1 − 0.5 = 0.5
    expect([optimizer.velocity[0], weights[0]]).toEqual([-0.5, 0.5]);
    optimizer.step(weights, all(-1), 0.25); // velocity 0.5 × −0.5 + 0.25 × 1 = 0, weight 0.5
    expect([optimizer.velocity[0], weights[0]]).toEqual([0, 0.5]);
    optimizer.step(weights, all(4), 0.125); // velocity 0 − 0.125 × 4 = −0.5, weight 0
    expect([optimizer.velocity[0], weights[0]]).toEqual([-0.5, 0]);
  });

  it('has the rate inside the velocity: a lower rate does not slow what is moving', () => {
    const optimizer = new MomentumSgd(layout, plain);
    const weights = all(0);
    optimizer.step(weights, all(1), 1); // velocity −1, weight −1
    optimizer.step(weights, all(0), 0.001); // velocity −0.5, weight −1.5; in PyTorch's form −1.0005
    expect(weights[0]).toBe(-1.5);
  });

  it('of 0 is plain gradient descent', () => {
    const optimizer = new MomentumSgd(layout, { ...plain, momentum: 0 });
    const weights = all(1);
    optimizer.step(weights, all(1), 0.5);
    optimizer.step(weights, all(1), 0.5); // 1 − 0.5 − 0.5
    expect(weights).toEqual(all(0));
  });
});

describe("Nesterov's form", () => {
  it('looks ahead by one momentum step', () => {
    const optimizer = new MomentumSgd(layout, { ...plain, nesterov: true });
    const weights = all(1);
    optimizer.step(weights, all(2), 0.25); // velocity −0.5; weight 1 + 0.5 × −0.5 − 0.5 = 0.25
    expect([optimizer.velocity[0], weights[0]]).toEqual([-0.5, 0.25]);
    optimizer.step(weights, all(0), 0.25); // velocity −0.25; weight 0.25 + 0.5 × −0.25 = 0.125
    expect([optimizer.velocity[0], weights[0]]).toEqual([-0.25, 0.125]);
  });
});

describe('weight decay', () => {
  it('is added to the gradient of kernels alone', () => {
    const optimizer = new MomentumSgd(layout, { ...plain, weightDecay: 0.5 });
    const weights = all(2);
    optimizer.step(weights, all(0), 1); // kernels: gradient 0.5 × 2 = 1, weight 2 − 1 = 1; the others stay
    expect([...weights]).toEqual([2, 1, 1, 2, 2]);
  });

  it('reaches the kernels of a whole model and nothing else', () => {
    const optimizer = new MomentumSgd(small, { ...plain, weightDecay: 0.5 });
    const weights = new Float32Array(small.trainableSize).fill(2);
    optimizer.step(weights, new Float32Array(small.trainableSize), 1);
    for (const { name, offset, size } of small.trainable) {
      const expected = name.endsWith('/kernel') ? 1 : 2;
      expect([name, new Set(weights.subarray(offset, offset + size))]).toEqual([name, new Set([expected])]);
    }
  });
});

describe('every operation', () => {
  it.each([
    { momentum: 0.9, nesterov: false, weightDecay: 0 },
    { momentum: 0.9, nesterov: true, weightDecay: 0 },
    { momentum: 0.9, nesterov: false, weightDecay: 0.0001 },
    { momentum: 0.9, nesterov: true, weightDecay: 0.0005 },
  ])('is rounded to float32: %o', (options) => {
    const optimizer = new MomentumSgd(small, options);
    const random = new KeyedRandom(0, 'synthesis');
    const size = small.trainableSize;
    const weights = Float32Array.from({ length: size }, (_, i) => random.uniformAt(i) - 0.5);
    const expected = { weights: [...weights], velocity: Array<number>(size).fill(0) };
    for (let step = 1; step <= 3; step++) {
      const gradient = Float32Array.from({ length: size }, (_, i) => random.uniformAt(step * size + i) - 0.5);
      stepNaively(expected, gradient, 0.1, options, Math.fround);
      optimizer.step(weights, gradient, 0.1);
    }
    expect(bitsOf(weights)).toEqual(bitsOf(Float32Array.from(expected.weights)));
    expect(bitsOf(optimizer.velocity)).toEqual(bitsOf(Float32Array.from(expected.velocity)));
  });

  it('would have other bits if only the results were rounded', () => {
    const options = { momentum: 0.9, nesterov: false, weightDecay: 0 };
    const gradient = Float32Array.from({ length: small.trainableSize }, (_, i) => 1 / (i + 3));
    const states = [Math.fround, (value: number) => value].map((round) => {
      const state = { weights: Array.from(gradient), velocity: Array.from(gradient) };
      stepNaively(state, gradient, 0.1, options, round);
      return Float32Array.from(state.weights);
    });
    expect(bitsOf(states[0])).not.toEqual(bitsOf(states[1]));
  });
});

const kernelPlaces = new Set(
  small.trainable
    .filter((array) => array.name.endsWith('/kernel'))
    .flatMap((array) => Array.from({ length: array.size }, (_, i) => array.offset + i)),
);

/** The update weight by weight; `f` rounds the result of each operation. */
function stepNaively(
  state: { weights: number[]; velocity: number[] },
  gradient: Float32Array,
  learningRate: number,
  options: MomentumSgdOptions,
  f: (value: number) => number,
): void {
  for (let i = 0; i < gradient.length; i++) {
    const weight = state.weights[i];
    const decays = options.weightDecay > 0 && kernelPlaces.has(i);
    const total = decays ? f(gradient[i] + f(f(options.weightDecay) * weight)) : gradient[i];
    const step = f(f(learningRate) * total);
    const velocity = f(f(f(options.momentum) * state.velocity[i]) - step);
    const move = options.nesterov ? f(f(f(options.momentum) * velocity) - step) : velocity;
    state.velocity[i] = velocity;
    state.weights[i] = f(weight + move);
  }
}

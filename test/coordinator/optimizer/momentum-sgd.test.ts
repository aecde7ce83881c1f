import { describe, expect, it } from 'vitest';
import { MomentumSgd } from '../../../coordinator/optimizer/momentum-sgd.js';
import type { ModelLayout } from '../../../shared/network/layout.js';
import type { MomentumSgdOptions } from '../../../shared/optimizer/momentum-update.js';
import { KeyedRandom } from '../../../shared/random.js';
import { bitsOf } from '../../support/tree-sum.js';
import { resnetLayout } from '../../support/resnet-layout.js';

const small = resnetLayout({ convBias: true });

const noDecay = { trainable: true, learningRateFactor: 1, weightDecay: false, initializer: 'zeros' } as const;
const withDecay = { ...noDecay, weightDecay: true };

/** Layout with a kernel of two weights, and a bias, a gamma and a beta of one weight each. */
const layout: ModelLayout = {
  ...small,
  weights: [
    { ...noDecay, name: 'a/bias', shape: [1], offset: 0, size: 1 },
    { ...withDecay, name: 'a/kernel', shape: [2], offset: 1, size: 2 },
    { ...noDecay, name: 'a/gamma', shape: [1], offset: 3, size: 1 },
    { ...noDecay, name: 'a/beta', shape: [1], offset: 4, size: 1 },
  ],
  weightsSize: 5,
};
const plain: MomentumSgdOptions = { momentum: 0.5, nesterov: false, weightDecay: 0 };
const all = (value: number) => new Float32Array(5).fill(value);

describe('SGD with momentum', () => {
  it('keeps a fraction of the velocity, in the form Keras uses', () => {
    const optimizer = new MomentumSgd(layout, plain, all(1));
    const { weights } = optimizer;
    optimizer.step(all(2), 1, 0.25); // velocity 0.5 × 0 − 0.25 × 2 = −0.5, weight 1 − 0.5 = 0.5
    expect([optimizer.state.velocity[0], weights[0]]).toEqual([-0.5, 0.5]);
    optimizer.step(all(-1), 1, 0.25); // velocity 0.5 × −0.5 + 0.25 × 1 = 0, weight 0.5
    expect([optimizer.state.velocity[0], weights[0]]).toEqual([0, 0.5]);
    optimizer.step(all(4), 1, 0.125); // velocity 0 − 0.125 × 4 = −0.5, weight 0
    expect([optimizer.state.velocity[0], weights[0]]).toEqual([-0.5, 0]);
  });

  it('applies the learning rate within the velocity, so a lower rate does not scale the existing velocity', () => {
    const optimizer = new MomentumSgd(layout, plain, all(0));
    const { weights } = optimizer;
    optimizer.step(all(1), 1, 1); // velocity −1, weight −1
    optimizer.step(all(0), 1, 0.001); // velocity −0.5, weight −1.5; PyTorch's form would give −1.0005
    expect(weights[0]).toBe(-1.5);
  });

  it('is plain gradient descent with a momentum of 0', () => {
    const optimizer = new MomentumSgd(layout, { ...plain, momentum: 0 }, all(1));
    const { weights } = optimizer;
    optimizer.step(all(1), 1, 0.5);
    optimizer.step(all(1), 1, 0.5); // weight 1 − 0.5 − 0.5 = 0
    expect(weights).toEqual(all(0));
  });
});

describe('Nesterov momentum', () => {
  it('looks ahead by one momentum step', () => {
    const optimizer = new MomentumSgd(layout, { ...plain, nesterov: true }, all(1));
    const { weights } = optimizer;
    optimizer.step(all(2), 1, 0.25); // velocity −0.5; weight 1 + 0.5 × −0.5 − 0.5 = 0.25
    expect([optimizer.state.velocity[0], weights[0]]).toEqual([-0.5, 0.25]);
    optimizer.step(all(0), 1, 0.25); // velocity −0.25; weight 0.25 + 0.5 × −0.25 = 0.125
    expect([optimizer.state.velocity[0], weights[0]]).toEqual([-0.25, 0.125]);
  });
});

describe('weight decay', () => {
  it('is added to the gradient of kernels only', () => {
    const optimizer = new MomentumSgd(layout, { ...plain, weightDecay: 0.5 }, all(2));
    const { weights } = optimizer;
    optimizer.step(all(0), 1, 1); // kernels: gradient 0.5 × 2 = 1, weight 2 − 1 = 1; no other weight changes
    expect([...weights]).toEqual([2, 1, 1, 2, 2]);
  });

  it('changes all kernels of a model and no other weights', () => {
    const optimizer = new MomentumSgd(
      small,
      { ...plain, weightDecay: 0.5 },
      new Float32Array(small.weightsSize).fill(2),
    );
    const { weights } = optimizer;
    optimizer.step(new Float32Array(small.weightsSize), 1, 1);
    for (const { name, offset, size } of small.weights) {
      const expected = name.endsWith('/kernel') ? 1 : 2;
      expect([name, new Set(weights.subarray(offset, offset + size))]).toEqual([name, new Set([expected])]);
    }
  });
});

describe('rounding', () => {
  it.each([
    { momentum: 0.9, nesterov: false, weightDecay: 0 },
    { momentum: 0.9, nesterov: true, weightDecay: 0 },
    { momentum: 0.9, nesterov: false, weightDecay: 0.0001 },
    { momentum: 0.9, nesterov: true, weightDecay: 0.0005 },
  ])('happens in float32 after every operation: %o', (options) => {
    const random = new KeyedRandom(0, 'synthesis');
    const size = small.weightsSize;
    const weights = Float32Array.from({ length: size }, (_, i) => random.uniformAt(i) - 0.5);
    const optimizer = new MomentumSgd(small, options, weights);
    const expected = { weights: [...weights], velocity: Array<number>(size).fill(0) };
    for (let step = 1; step <= 3; step++) {
      const gradient = Float32Array.from({ length: size }, (_, i) => random.uniformAt(step * size + i) - 0.5);
      const sum = gradient.slice();
      stepNaively(expected, gradient, { sampleCount: 96, learningRate: 0.1 }, options, Math.fround);
      expect(optimizer.step(gradient, 96, 0.1)).toBe('made');
      expect(gradient).toEqual(sum);
    }
    expect(bitsOf(optimizer.weights)).toEqual(bitsOf(Float32Array.from(expected.weights)));
    expect(bitsOf(optimizer.state.velocity)).toEqual(bitsOf(Float32Array.from(expected.velocity)));
  });

  it('of the results alone would give different bits', () => {
    const options = { momentum: 0.9, nesterov: false, weightDecay: 0 };
    const gradient = Float32Array.from({ length: small.weightsSize }, (_, i) => 1 / (i + 3));
    const states = [Math.fround, (value: number) => value].map((round) => {
      const state = { weights: Array.from(gradient), velocity: Array.from(gradient) };
      stepNaively(state, gradient, { sampleCount: 1, learningRate: 0.1 }, options, round);
      return Float32Array.from(state.weights);
    });
    expect(bitsOf(states[0])).not.toEqual(bitsOf(states[1]));
  });
});

describe('MomentumSgd checks for values that are not finite', () => {
  const indices = [0, 3, 4, 8, 41, small.weightsSize - 1];

  it.each([Number.NaN, Infinity, -Infinity])(
    '%d in the gradient sum is reported at any index and changes nothing',
    (bad) => {
      const weights = new Float32Array(small.weightsSize).fill(2);
      const optimizer = new MomentumSgd(small, { ...plain, weightDecay: 0.5 }, weights);
      for (const index of indices) {
        const sum = new Float32Array(small.weightsSize).fill(1);
        sum[index] = bad;
        expect([index, optimizer.step(sum, 1, 0.1)]).toEqual([index, 'sum-not-finite']);
      }
      expect(optimizer.weights).toEqual(weights);
      expect(optimizer.state.velocity).toEqual(new Float32Array(small.weightsSize));
    },
  );

  it('a weight that overflows is reported at any index', () => {
    for (const index of indices) {
      const sum = new Float32Array(small.weightsSize).fill(1);
      sum[index] = 3e38;
      const optimizer = new MomentumSgd(small, plain, new Float32Array(small.weightsSize));
      expect([index, optimizer.step(sum, 1, 1000)]).toEqual([index, 'weights-not-finite']);
      expect(Number.isFinite(optimizer.weights[index])).toBe(false);
    }
  });

  it('the largest finite gradients are not reported', () => {
    const sum = new Float32Array(small.weightsSize).fill(3.4e38);
    expect(new MomentumSgd(small, plain, sum).step(sum, 1, 1e-6)).toBe('made');
  });
});

describe('a gradient of the wrong size', () => {
  it('is rejected', () => {
    const optimizer = new MomentumSgd(layout, plain, all(0));
    expect(() => optimizer.step(new Float32Array(4), 1, 1)).toThrow(
      'the gradient has 4 values, but the model has 5 weights',
    );
  });
});

const kernelIndices = new Set(
  small.weights
    .filter((array) => array.name.endsWith('/kernel'))
    .flatMap((array) => Array.from({ length: array.size }, (_, i) => array.offset + i)),
);

/** Performs an optimizer update weight by weight. `f` rounds the result of each operation. */
function stepNaively(
  state: { weights: number[]; velocity: number[] },
  gradientSum: Float32Array,
  { sampleCount, learningRate }: { sampleCount: number; learningRate: number },
  options: MomentumSgdOptions,
  f: (value: number) => number,
): void {
  for (let i = 0; i < gradientSum.length; i++) {
    const mean = f(gradientSum[i] / sampleCount);
    const weight = state.weights[i];
    const decays = options.weightDecay > 0 && kernelIndices.has(i);
    const total = decays ? f(mean + f(f(options.weightDecay) * weight)) : mean;
    const step = f(f(learningRate) * total);
    const velocity = f(f(f(options.momentum) * state.velocity[i]) - step);
    const move = options.nesterov ? f(f(f(options.momentum) * velocity) - step) : velocity;
    state.velocity[i] = velocity;
    state.weights[i] = f(weight + move);
  }
}

describe('arrays with settings', () => {
  const [bias, kernel, gamma, beta] = layout.weights;

  it('are not changed if they are frozen, nor is their velocity', () => {
    const frozen = { ...layout, weights: [bias, { ...kernel, trainable: false }, gamma, beta] };
    const optimizer = new MomentumSgd(frozen, { ...plain, weightDecay: 0.5 }, all(1));
    optimizer.step(all(2), 1, 0.25); // weight 1 − 0.25 × 2 = 0.5
    expect(optimizer.weights).toEqual(Float32Array.of(0.5, 1, 1, 0.5, 0.5));
    expect(optimizer.state.velocity).toEqual(Float32Array.of(-0.5, 0, 0, -0.5, -0.5));
    expect(optimizer.gradient).toEqual(Float32Array.of(2, 0, 0, 2, 2));
  });

  it('have the learning rate times their factor, and decay as fast as the others', () => {
    const faster = { ...layout, weights: [bias, kernel, gamma, { ...beta, ...withDecay, learningRateFactor: 4 }] };
    const optimizer = new MomentumSgd(faster, { ...plain, weightDecay: 0.5 }, all(1));
    optimizer.step(all(0), 1, 0.25);
    // Kernel: 1 − 0.25 × 0.5 × 1 = 0.875. Beta: 1 − (4 × 0.25) × (0.5 / 4) × 1 = 0.875.
    expect(optimizer.weights).toEqual(Float32Array.of(1, 0.875, 0.875, 1, 0.875));
    const other = new MomentumSgd(faster, plain, all(1));
    other.step(all(1), 1, 0.25); // 1 − 0.25 = 0.75; beta 1 − 4 × 0.25 = 0
    expect(other.weights).toEqual(Float32Array.of(0.75, 0.75, 0.75, 0.75, 0));
  });

  it('do not change at all with a factor of 0', () => {
    const still = { ...layout, weights: [bias, { ...kernel, learningRateFactor: 0 }, gamma, beta] };
    const optimizer = new MomentumSgd(still, { ...plain, weightDecay: 0.5 }, all(1));
    optimizer.step(all(1), 1, 0.25);
    expect(optimizer.weights).toEqual(Float32Array.of(0.75, 1, 1, 0.75, 0.75));
  });
});

// Look-ahead around an optimizer whose steps are easy to follow: each adds the gradient sum to the weights.
import { describe, expect, it } from 'vitest';
import { LookAhead } from '../../../coordinator/optimizer/look-ahead.js';
import type { Optimizer, Update } from '../../../coordinator/optimizer/optimizer.js';

class Adding implements Optimizer {
  readonly weights = Float32Array.of(0);
  readonly gradient = Float32Array.of(0);
  readonly state = { velocity: Float32Array.of(7) };
  result: Update = 'made';

  step([sum]: Float32Array): Update {
    this.weights[0] += sum;
    return this.result;
  }
}

const settings = { learningRateFactor: 1, weightDecay: false, initializer: 'zeros' } as const;
const arrays = [{ ...settings, trainable: true, name: 'a', shape: [1], offset: 0, size: 1 }];

function stepsOf(optimizer: Optimizer, count: number, totalSteps: number, first = 1): number[] {
  return Array.from({ length: count }, (_, index) => {
    optimizer.step(Float32Array.of(1), 1, 0.1, { step: first + index, totalSteps });
    return optimizer.weights[0];
  });
}

describe('look-ahead', () => {
  it('continues from the average every N steps, with a share that grows with the cube of the progress', () => {
    // The highest share is 0.95² = 0.9025. At step 2 of 4, it is 0.9025 / 8 = 0.1128125: the average of 0 and 2 is
    // 0.8871875 × 2 = 1.774375. Step 3 adds 1. At step 4 the share is 0.9025, and the weight is 3.774375: the average is
    // 0.9025 × 1.774375 + 0.0975 × 3.774375 = 1.969375.
    const weights = stepsOf(new LookAhead(new Adding(), 2, arrays), 4, 4);
    [1, 1.774375, 2.774375, 1.969375].forEach((weight, i) => expect(weights[i]).toBeCloseTo(weight, 6));
  });

  it('ends with the average, even between two look-aheads', () => {
    // At step 2 of 3, the share is 0.9025 × 8 / 27 = 0.267407…, and the average 0.732593 × 2 = 1.465185.
    const weights = stepsOf(new LookAhead(new Adding(), 2, arrays), 3, 3);
    expect(weights[2]).toBe(weights[1]);
    expect(weights[2]).toBeCloseTo(1.465185, 6);
  });

  it('has the average as part of its state, so that a resumed run continues with the same bits', () => {
    const whole = new LookAhead(new Adding(), 2, arrays);
    const expected = stepsOf(whole, 6, 7);
    const first = new LookAhead(new Adding(), 2, arrays);
    stepsOf(first, 3, 7);
    const second = new LookAhead(new Adding(), 2, arrays);
    second.weights.set(first.weights);
    expect(Object.keys(second.state)).toEqual(['velocity', 'average']);
    for (const [name, values] of Object.entries(second.state)) values.set(first.state[name]);
    expect(stepsOf(second, 3, 7, 4)).toEqual(expected.slice(3));
  });

  it('leaves the average alone after a failed update', () => {
    const inner = new Adding();
    const optimizer = new LookAhead(inner, 1, arrays);
    inner.result = 'weights-not-finite';
    expect(optimizer.step(Float32Array.of(1), 1, 0.1, { step: 1, totalSteps: 1 })).toBe('weights-not-finite');
    expect(optimizer.state['average'][0]).toBe(0);
  });

  it('does not change the bits of frozen arrays', () => {
    const weights = Float32Array.of(0, 0.1);
    const inner: Optimizer = { weights, gradient: weights, state: {}, step: () => 'made' };
    const frozen = { ...settings, trainable: false, name: 'b', shape: [1], offset: 1, size: 1 };
    const optimizer = new LookAhead(inner, 1, [...arrays, frozen]);
    // Otherwise, rounding changes 0.1 within these steps.
    for (let step = 1; step <= 10; step++) optimizer.step(Float32Array.of(0, 0), 1, 0.1, { step, totalSteps: 11 });
    expect(optimizer.weights[1]).toBe(Math.fround(0.1));
  });
});

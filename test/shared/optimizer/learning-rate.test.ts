// Compares learning-rate schedules with their definitions and with golden values from Keras and PyTorch.
import { describe, expect, it } from 'vitest';
import { learningRateAt } from '../../../shared/optimizer/learning-rate.js';
import { resolveConfig, type ConfigInput } from '../../../shared/config/config.js';

/** Returns the learning rate at a step of a run with 10 steps per epoch. */
function rateAt(step: number, input: ConfigInput, totalSteps = 100): number {
  return learningRateAt(step, resolveConfig(input), { totalSteps, stepsPerEpoch: 10 });
}
const ratesAt = (steps: readonly number[], input: ConfigInput) => steps.map((step) => rateAt(step, input));

describe('the default schedule', () => {
  // PiecewiseConstantDecay([32000, 48000], [0.1, 0.01, 0.001]) in Keras 3.15, which decays the rate at the first
  // step after a boundary. keras-golden.test.ts runs Keras itself at the same steps.
  it.each([
    [0, 0.1],
    [31_999, 0.1],
    [32_000, 0.1],
    [32_001, 0.01],
    [47_999, 0.01],
    [48_000, 0.01],
    [48_001, 0.001],
    [63_999, 0.001],
  ])('has the rate of Keras at step %i: %d in float32', (step, rate) => {
    expect(Math.fround(rateAt(step, {}, 64_000))).toBe(Math.fround(rate));
  });
});

describe('the piecewise schedule', () => {
  it('keeps the rate constant without boundaries', () => {
    expect(rateAt(1_000_000, { learningRate: 0.3, learningRateBoundaries: [] })).toBe(0.3);
  });

  it('decays the rate at step 1 for a boundary at step 0', () => {
    expect(ratesAt([0, 1], { learningRate: 1, learningRateBoundaries: [0] })).toEqual([1, 0.1]);
  });
});

describe('the triangular schedule', () => {
  it('rises linearly from 20% of the peak over 23% of the run, then falls linearly to 7%', () => {
    // The peak of 2 is at step 23. Halfway through the rise, the rate is 2 × (0.2 + 0.8 / 2) = 1.2; halfway through the
    // fall, at step 61.5, 2 × (1 - 0.93 / 2) = 1.07; step 61 is 0.5 / 77 of the fall before it.
    const rates = ratesAt([0, 23, 100], { schedule: 'triangular', learningRate: 2 });
    [0.4, 2, 0.14].forEach((rate, i) => expect(rates[i]).toBeCloseTo(rate, 14));
    expect(rateAt(115, { schedule: 'triangular', learningRate: 2 }, 1000)).toBeCloseTo(1.2, 14);
    expect(rateAt(615, { schedule: 'triangular', learningRate: 2 }, 1000)).toBeCloseTo(1.07, 14);
  });

  it('has its peak after the warm-up', () => {
    const rates = ratesAt([5, 10, 55], { schedule: 'triangular', learningRate: 1, warmupSteps: 10 });
    [0.6, 1, 1 - 0.93 / 2].forEach((rate, i) => expect(rates[i]).toBeCloseTo(rate, 14));
  });
});

describe('the cosine schedule', () => {
  it('decays the rate along half a cosine to 0 at the end of the run', () => {
    const rates = ratesAt([0, 25, 50, 75, 100], { schedule: 'cosine', learningRate: 2 });
    // The rate is 2 × (1 + cos(π × step / 100)) / 2: after a quarter of the run, 1 + cos(π/4) = 1.7071…; after three
    // quarters, 1 + cos(3π/4) = 0.2929…
    [2, 1 + Math.SQRT1_2, 1, 1 - Math.SQRT1_2, 0].forEach((rate, i) => expect(rates[i]).toBeCloseTo(rate, 14));
  });

  it('starts after the warm-up', () => {
    const input: ConfigInput = { schedule: 'cosine', learningRate: 1, warmupSteps: 20 };
    expect(ratesAt([19, 20], input)).toEqual([1, 1]);
    expect(rateAt(60, input)).toBeCloseTo(0.5, 14);
  });

  it('agrees with Math.cos, which it does not call, to the last bit or two', () => {
    for (let step = 0; step <= 1000; step++) {
      const exact = (1 + Math.cos((Math.PI * step) / 1000)) / 2;
      expect(Math.abs(rateAt(step, { schedule: 'cosine', learningRate: 1 }, 1000) - exact)).toBeLessThan(5e-16);
    }
  });
});

describe('the one-cycle schedule', () => {
  // torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=100, cycle_momentum=False) in PyTorch 2.15.
  it.each([
    [0, 0.008000000000000007],
    [1, 0.008562756113181497],
    [15, 0.10919733522420008],
    [28, 0.19943724388681852],
    [29, 0.2],
    [30, 0.19989930705690487],
    [50, 0.1587786901151464],
    [64, 0.1000004],
    [98, 0.0001014929430951576],
    [99, 8e-7],
  ])("has the rate of PyTorch's OneCycleLR at step %i: %d", (step, rate) => {
    expect(rateAt(step, { schedule: 'one-cycle', learningRate: 0.2 }) / rate).toBeCloseTo(1, 9);
  });

  it('increases the rate during the warm-up', () => {
    const rates = ratesAt([0, 4, 9, 10], { schedule: 'one-cycle', learningRate: 1, warmupSteps: 10 });
    expect(rates[0]).toBeCloseTo(0.04, 14);
    expect(rates[2]).toBe(1);
    expect(rates[1]).toBeLessThan(rates[2]);
    expect(rates[3]).toBeLessThan(1);
  });

  it.each([0, 1])('starts at the highest rate with %i steps of warm-up', (warmupSteps) => {
    const input: ConfigInput = { schedule: 'one-cycle', learningRate: 1, warmupSteps };
    expect(rateAt(0, input)).toBeGreaterThan(0.99);
    expect(rateAt(99, input)).toBeCloseTo(1 / 250_000, 12);
  });
});

describe('the constant schedule', () => {
  it('ignores boundaries', () => {
    expect(rateAt(70_000, { schedule: 'constant', learningRate: 0.3 })).toBe(0.3);
  });
});

describe('the warm-up', () => {
  it('increases the rate in equal steps and does not move boundaries', () => {
    const input: ConfigInput = { learningRate: 1, warmupSteps: 4, learningRateBoundaries: [6] };
    expect(ratesAt([0, 1, 2, 3, 4, 6, 7], input)).toEqual([0.25, 0.5, 0.75, 1, 1, 1, 0.1]);
  });

  it("is constant in the paper's recipe for 110 layers", () => {
    const input: ConfigInput = { recipe: 'paper', depth: 110 };
    expect(ratesAt([0, 399, 400], input)).toEqual([0.01, 0.01, 0.1]);
  });
});

describe('linear scaling', () => {
  it('multiplies the rate by the relative batch size and warms up from the unscaled rate over five epochs', () => {
    // The scaled rate is 512 / 128 × 0.1 = 0.4. Five epochs are 50 steps, and step 24 is halfway from 0.1 to 0.4.
    const input: ConfigInput = { batchSize: 512, scaleLearningRate: 128, schedule: 'constant' };
    const rates = ratesAt([0, 24, 49, 50], input);
    [0.106, 0.25, 0.4, 0.4].forEach((rate, i) => expect(rates[i]).toBeCloseTo(rate, 14));
  });

  it('has no warm-up for a smaller batch', () => {
    expect(rateAt(0, { batchSize: 64, scaleLearningRate: 128 })).toBe(0.05);
  });

  it('uses an explicit warm-up length', () => {
    const input: ConfigInput = { batchSize: 256, scaleLearningRate: 128, warmupSteps: 0 };
    expect(rateAt(0, input)).toBe(0.2);
  });
});

// The schedules against the definitions they follow. Keras and PyTorch computed the golden values (see each test).
import { describe, expect, it } from 'vitest';
import { learningRateAt } from '../../../coordinator/optimizer/learning-rate.js';
import { resolveConfig, type ConfigInput } from '../../../shared/config/config.js';

/** The rate of a step in a run of 100 steps, 10 an epoch, unless said. */
function rateAt(step: number, input: ConfigInput, totalSteps = 100): number {
  return learningRateAt(step, resolveConfig(input), { totalSteps, stepsPerEpoch: 10 });
}
const ratesAt = (steps: readonly number[], input: ConfigInput) => steps.map((step) => rateAt(step, input));

describe("the recipe's learning rate", () => {
  // PiecewiseConstantDecay([32000, 48000], [0.1, 0.01, 0.001]) of Keras 3.15, which moves on when the step is greater than the
  // boundary. keras-golden.test.ts asks Keras itself for the same steps.
  it.each([
    [0, 0.1],
    [31_999, 0.1],
    [32_000, 0.1],
    [32_001, 0.01],
    [47_999, 0.01],
    [48_000, 0.01],
    [48_001, 0.001],
    [63_999, 0.001],
  ])("at step %i is Keras's %d in float32", (step, rate) => {
    expect(Math.fround(rateAt(step, {}, 64_000))).toBe(Math.fround(rate));
  });
});

describe('the piecewise schedule', () => {
  it('stays the same without boundaries', () => {
    expect(rateAt(1_000_000, { learningRate: 0.3, learningRateBoundaries: [] })).toBe(0.3);
  });

  it('falls behind a boundary at 0 at step 1', () => {
    expect(ratesAt([0, 1], { learningRate: 1, learningRateBoundaries: [0] })).toEqual([1, 0.1]);
  });
});

describe('the cosine schedule', () => {
  it('goes from the rate along half a cosine to 0 at the end of the run', () => {
    const rates = ratesAt([0, 25, 50, 75, 100], { schedule: 'cosine', learningRate: 2 });
    // 1 + cos(π/4) = 1.7071…, 1 + cos(3π/4) = 0.2929…
    [2, 1 + Math.SQRT1_2, 1, 1 - Math.SQRT1_2, 0].forEach((rate, i) => expect(rates[i]).toBeCloseTo(rate, 14));
  });

  it('begins behind the warm-up', () => {
    const input: ConfigInput = { schedule: 'cosine', learningRate: 1, warmupSteps: 20 };
    expect(ratesAt([19, 20], input)).toEqual([1, 1]);
    expect(rateAt(60, input)).toBeCloseTo(0.5, 14);
  });

  it('is the cosine to the last bit or two, though it does not ask Math.cos', () => {
    for (let step = 0; step <= 1000; step++) {
      const exact = (1 + Math.cos((Math.PI * step) / 1000)) / 2;
      expect(Math.abs(rateAt(step, { schedule: 'cosine', learningRate: 1 }, 1000) - exact)).toBeLessThan(5e-16);
    }
  });
});

describe('the one-cycle schedule', () => {
  // torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=100, cycle_momentum=False) of PyTorch 2.15.
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
  ])("at step %i is PyTorch's OneCycleLR", (step, rate) => {
    expect(rateAt(step, { schedule: 'one-cycle', learningRate: 0.2 }) / rate).toBeCloseTo(1, 9);
  });

  it('rises for as many steps as the warm-up has', () => {
    const rates = ratesAt([0, 4, 9, 10], { schedule: 'one-cycle', learningRate: 1, warmupSteps: 10 });
    expect(rates[0]).toBeCloseTo(0.04, 14);
    expect(rates[2]).toBe(1);
    expect(rates[1]).toBeLessThan(rates[2]);
    expect(rates[3]).toBeLessThan(1);
  });

  it.each([0, 1])('is highest from the first step on with %i steps of warm-up', (warmupSteps) => {
    const input: ConfigInput = { schedule: 'one-cycle', learningRate: 1, warmupSteps };
    expect(rateAt(0, input)).toBeGreaterThan(0.99);
    expect(rateAt(99, input)).toBeCloseTo(1 / 250_000, 12);
  });
});

describe('the constant schedule', () => {
  it('stays, whatever the boundaries', () => {
    expect(rateAt(70_000, { schedule: 'constant', learningRate: 0.3 })).toBe(0.3);
  });
});

describe('the warm-up', () => {
  it('rises in equal steps to the rate, and leaves the boundaries where they are', () => {
    const input: ConfigInput = { learningRate: 1, warmupSteps: 4, learningRateBoundaries: [6] };
    expect(ratesAt([0, 1, 2, 3, 4, 6, 7], input)).toEqual([0.25, 0.5, 0.75, 1, 1, 1, 0.1]);
  });

  it("stays at a constant rate, as the paper's for 110 layers does", () => {
    const input: ConfigInput = { recipe: 'paper', depth: 110 };
    expect(ratesAt([0, 399, 400], input)).toEqual([0.01, 0.01, 0.1]);
  });
});

describe('a rate scaled with the batch', () => {
  it('grows in proportion, and rises to that from the unscaled one in five epochs', () => {
    // 512 / 128 = 4 times 0.1. Five epochs are 50 steps: step 24 is halfway from 0.1 to 0.4.
    const input: ConfigInput = { batchSize: 512, scaleLearningRate: 128, schedule: 'constant' };
    const rates = ratesAt([0, 24, 49, 50], input);
    [0.106, 0.25, 0.4, 0.4].forEach((rate, i) => expect(rates[i]).toBeCloseTo(rate, 14));
  });

  it('needs no warm-up where the batch is smaller', () => {
    expect(rateAt(0, { batchSize: 64, scaleLearningRate: 128 })).toBe(0.05);
  });

  it('rises as long as was said', () => {
    const input: ConfigInput = { batchSize: 256, scaleLearningRate: 128, warmupSteps: 0 };
    expect(rateAt(0, input)).toBe(0.2);
  });
});

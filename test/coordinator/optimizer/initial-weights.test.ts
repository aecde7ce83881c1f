import { describe, expect, it } from 'vitest';
import {
  initialMovingStatistics,
  initialWeights,
  normalQuantile,
  truncatedNormal,
} from '../../../coordinator/optimizer/initial-weights.js';
import { weightsSha256 } from '../../../shared/network/layout-hash.js';
import { arrayOf } from '../../../shared/network/layout.js';
import { resnetLayout } from '../../support/resnet-layout.js';

const layout = resnetLayout({
  depth: 20,
  initialFilters: 16,
  convBias: true,
});

describe('normalQuantile', () => {
  // Quantiles from tables. Those for 0.25, 0.001 and 1e-20 are Wichura's test values for AS 241. The last two are in
  // the branch for the far tail.
  it.each([
    [0.5, 0],
    [0.25, -0.6744897501960817],
    [0.75, 0.6744897501960817],
    [0.9, 1.2815515655446004],
    [0.975, 1.959963984540054],
    [0.001, -3.090232306167813],
    [0.999, 3.090232306167813],
    [1e-20, -9.26234008979841],
    [1e-100, -21.27345356096533],
  ])('returns the tabulated quantile: %d → %d', (probability, quantile) => {
    expect(Math.abs(normalQuantile(probability) - quantile)).toBeLessThanOrEqual(1e-13);
  });

  it('is continuous where its branches meet', () => {
    // The central branch ends at the probabilities 0.5 ± 0.425. The density there is about 0.141, so quantiles whose
    // probabilities differ by 2e-12 differ by 2e-12 / 0.141 = 1.4e-11.
    for (const edge of [0.075, 0.925]) {
      const jump = normalQuantile(edge + 1e-12) - normalQuantile(edge - 1e-12);
      expect(jump).toBeGreaterThan(1.3e-11);
      expect(jump).toBeLessThan(1.5e-11);
    }
  });
});

describe('truncatedNormal', () => {
  it('maps 0, 0.5 and almost 1 to -2, 0 and 2', () => {
    expect(truncatedNormal(0)).toBeCloseTo(-2, 12);
    expect(truncatedNormal(0.5)).toBe(0);
    expect(truncatedNormal(1 - 2 ** -53)).toBeCloseTo(2, 12);
  });
});

describe('initialWeights', () => {
  const weights = initialWeights(layout, 0);
  const kernels = layout.weights.filter((array) => array.name.endsWith('/kernel'));

  it('returns the same bits on every machine: ResNet-20, seed 0', () => {
    expect(weightsSha256(weights, initialMovingStatistics(layout))).toBe(
      '8bffa7cbefe2089708079969639fde6e7bca6243cdac888ade9989194e9e4bb3',
    );
  });

  it("initializes kernels with He's standard deviation, truncated at two standard deviations of the untruncated normal", () => {
    for (const kernel of kernels) {
      const values = arrayOf(weights, kernel);
      // The fan-in is the product of all axes but the last.
      const deviation = Math.sqrt(2 / (kernel.size / kernel.shape.at(-1)!));
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
      const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
      // The standard error of the mean of n values is deviation / sqrt(n); that of the standard deviation is below
      // deviation / sqrt(2n). The test allows five standard errors for each.
      expect(Math.abs(mean)).toBeLessThan((5 * deviation) / Math.sqrt(values.length));
      expect(Math.abs(Math.sqrt(variance) / deviation - 1)).toBeLessThan(5 / Math.sqrt(2 * values.length));
      const cut = Math.fround((2 * deviation) / 0.87962566103423978);
      expect(Math.max(...values.map(Math.abs))).toBeLessThanOrEqual(cut);
    }
  });

  it('initializes every kernel differently, including kernels of the same shape', () => {
    const scaledFirstWeights = kernels.map((kernel) => Math.fround(weights[kernel.offset] * Math.sqrt(kernel.size)));
    expect(new Set(scaledFirstWeights).size).toBe(kernels.length);
  });

  it('initializes biases and betas to 0 and gammas to 1', () => {
    for (const array of layout.weights.filter((other) => !kernels.includes(other))) {
      const expected = array.name.endsWith('/gamma') ? 1 : 0;
      expect([array.name, new Set(arrayOf(weights, array))]).toEqual([array.name, new Set([expected])]);
    }
  });

  it('returns different weights for different seeds', () => {
    expect(initialWeights(layout, 1)[0]).not.toBe(weights[0]);
    expect(initialWeights(layout, 2 ** 32)[0]).not.toBe(weights[0]);
  });
});

describe('initialMovingStatistics', () => {
  it('initializes means to 0 and variances to 1', () => {
    const statistics = initialMovingStatistics(layout);
    for (const array of layout.statistics) {
      const expected = array.name.endsWith('/moving_variance') ? 1 : 0;
      expect([array.name, new Set(arrayOf(statistics, array))]).toEqual([array.name, new Set([expected])]);
    }
  });
});

// Batch norm without ReLU on images and vectors, compared with float64 loops.
import { describe, expect, test } from 'vitest';
import { KernelMemory } from '../kernel-memory.js';
import { maxError, randomValues } from '../samples.js';
import { Images, randomImages } from './images.js';

const epsilon = 0.001;

describe.each([
  {
    name: 'images of 3 × 5 pixels',
    count: 6,
    height: 3,
    width: 5,
    channels: 22,
    border: 1,
    scales: true,
    offsets: true,
  },
  {
    name: 'vectors without beta',
    count: 12,
    height: 1,
    width: 1,
    channels: 37,
    border: 0,
    scales: true,
    offsets: false,
  },
  { name: 'images without gamma', count: 5, height: 4, width: 4, channels: 6, border: 1, scales: false, offsets: true },
])('batch norm of $name', ({ scales, offsets, ...shape }) => {
  const { channels } = shape;
  const memory = new KernelMemory();
  const { kernels } = memory;
  const source = randomImages(memory, shape, 1);
  const { depth } = source;
  const gammaValues = scales ? randomValues(channels, 2) : new Float32Array(channels).fill(1);
  const betaValues = offsets ? randomValues(channels, 3) : new Float32Array(channels);
  // The values after an array are those of other arrays.
  const gamma = scales ? memory.floats([...gammaValues, 7, 7, 7]) : 0;
  const beta = offsets ? memory.floats([...betaValues, 7, 7, 7]) : 0;
  const values = source.read();
  const elements = values.length / channels;
  const mean = new Float64Array(channels);
  const variance = new Float64Array(channels);
  for (const [i, value] of values.entries()) mean[i % channels] += value / elements;
  for (const [i, value] of values.entries()) variance[i % channels] += (value - mean[i % channels]) ** 2 / elements;
  const normalized = Float64Array.from(values, (value, i) => {
    return (value - mean[i % channels]) / Math.sqrt(variance[i % channels] + epsilon);
  });
  const rowBytes = 4 * depth;
  const sums = memory.take(2 * 2 * rowBytes);
  const coefficients = memory.floats(new Float32Array(6 * depth).fill(9));
  const statistics = memory.take(8 * channels);
  const arrays = [gamma, beta, 0, epsilon, coefficients] as const;
  const output = Float64Array.from(
    normalized,
    (value, i) => value * gammaValues[i % channels] + betaValues[i % channels],
  );

  test('the statistics of two tiles and the normalized values match', () => {
    kernels.statisticSums(source.origin, sums, false, ...source.grid(0, 1));
    kernels.statisticSums(source.origin, sums, true, ...source.grid(1, 1));
    kernels.statisticSums(source.origin, sums + 2 * rowBytes, false, ...source.grid(2));
    kernels.batchStatistics(sums, 2, elements, channels, depth, ...arrays, statistics);
    expect(maxError(memory.readFloats(statistics, channels), mean)).toBeLessThan(1e-6);
    expect(maxError(memory.readFloats(statistics + 4 * channels, channels), variance)).toBeLessThan(1e-6);
    const target = new Images(memory, shape);
    kernels.scaleChannels(
      source.origin,
      coefficients + 2 * rowBytes,
      coefficients + 3 * rowBytes,
      target.origin,
      ...source.grid(),
    );
    expect(maxError(target.read(), output)).toBeLessThan(1e-6);
    expect(target.isPaddingZero()).toBe(true);
  });

  test('an evaluation with the same statistics has the same coefficients', () => {
    const again = memory.floats(new Float32Array(6 * depth).fill(9));
    kernels.movingStatistics(channels, depth, gamma, beta, 0, epsilon, again, statistics);
    expect(maxError(memory.readFloats(again, 4 * depth), memory.readFloats(coefficients, 4 * depth))).toBeLessThan(
      1e-6,
    );
  });

  test.each([false, true])('the gradients of the input, gamma and beta match; adds: %s', (adds) => {
    const gradient = randomImages(memory, shape, 4);
    const gradients = gradient.read();
    kernels.gradientSums(gradient.origin, source.origin, coefficients, sums, false, ...source.grid(0, 2));
    kernels.gradientSums(
      gradient.origin,
      source.origin,
      coefficients,
      sums + 2 * rowBytes,
      false,
      ...source.grid(2, 1),
    );
    kernels.gradientSums(gradient.origin, source.origin, coefficients, sums + 2 * rowBytes, true, ...source.grid(3));
    const gammaGradient = scales ? memory.take(rowBytes) : 0;
    const betaGradient = offsets ? memory.take(rowBytes) : 0;
    kernels.gradientCoefficients(sums, 2, elements, channels, depth, coefficients, gammaGradient, betaGradient);
    const sum = new Float64Array(channels);
    const products = new Float64Array(channels);
    for (const [i, value] of gradients.entries()) {
      sum[i % channels] += value;
      products[i % channels] += value * normalized[i];
    }
    const errors = [
      scales ? maxError(memory.readFloats(gammaGradient, channels), products) : 0,
      offsets ? maxError(memory.readFloats(betaGradient, channels), sum) : 0,
    ];
    expect(Math.max(...errors)).toBeLessThan(1e-5);
    const existing = randomValues(values.length, 5);
    const target = new Images(memory, shape, existing);
    kernels.batchNormGradient(gradient.origin, source.origin, coefficients, target.origin, adds, ...source.grid());
    const expected = Float64Array.from(gradients, (value, i) => {
      const c = i % channels;
      const scale = gammaValues[c] / Math.sqrt(variance[c] + epsilon);
      const own = scale * (value - sum[c] / elements - (normalized[i] * products[c]) / elements);
      return adds ? existing[i] + own : own;
    });
    expect(maxError(target.read(), expected)).toBeLessThan(1e-5);
    expect(target.isPaddingZero()).toBe(true);
  });
});

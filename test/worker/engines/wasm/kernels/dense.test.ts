// Fully connected layers and the loss, compared with float64 loops.
import { describe, expect, test } from 'vitest';
import { KernelMemory } from '../kernel-memory.js';
import { maxError, randomValues } from '../samples.js';
import { Images, randomImages } from './images.js';

const vectorShape = { height: 1, width: 1, border: 0 };

/** Splits `total` into a part whose length is a multiple of 8, and the rest. */
function parts(total: number): [first: number, count: number][] {
  const first = Math.min(total, 8 * Math.ceil(total / 16));
  return [
    [0, first],
    [first, total - first],
  ];
}

describe.each([
  { inputs: 4, units: 10, images: 3 },
  { inputs: 37, units: 3, images: 9 },
  { inputs: 300, units: 70, images: 6 },
  { inputs: 131, units: 133, images: 4 },
  { inputs: 257, units: 21, images: 11 },
])('a dense layer from $inputs to $units, $images images', ({ inputs, units, images }) => {
  const memory = new KernelMemory();
  const { kernels } = memory;
  const scratch = memory.take(32_768);
  // Image 0 is not in the range.
  const source = randomImages(memory, { ...vectorShape, count: images + 1, channels: inputs }, 1);
  const gradient = randomImages(memory, { ...vectorShape, count: images + 1, channels: units }, 2);
  // Kernels may read vectors after the last, which are not finite here.
  memory.floats(new Float32Array(4096).fill(Number.NaN));
  const kernel = randomValues(inputs * units, 3);
  const bias = randomValues(units, 4);
  const kernelAt = memory.floats([...kernel, Number.NaN, Number.NaN, Number.NaN]);
  const biasAt = memory.floats([...bias, Number.NaN, Number.NaN, Number.NaN]);
  const [x, g] = [source.read(), gradient.read()];
  const from = [source.origin, source.imageBytes] as const;
  const of = [gradient.origin, gradient.imageBytes] as const;

  test.each([true, false])('the forward pass matches; with a bias: %s', (hasBias) => {
    const target = new Images(memory, gradient.shape);
    const expected = new Float64Array(g.length);
    for (let image = 1; image <= images; image++) {
      for (let u = 0; u < units; u++) {
        let sum = hasBias ? bias[u] : 0;
        for (let i = 0; i < inputs; i++) sum += x[image * inputs + i] * kernel[i * units + u];
        expected[image * units + u] = sum;
      }
    }
    for (const part of parts(units)) {
      kernels.denseForward(
        ...from,
        ...([inputs, kernelAt, hasBias ? biasAt : 0, units] as const),
        ...([target.origin, target.imageBytes] as const),
        ...part,
        ...([1, images, scratch] as const),
      );
    }
    expect(maxError(target.read(), expected)).toBeLessThan(1e-6);
    expect(target.isPaddingZero()).toBe(true);
  });

  test.each([false, true])('the input gradient matches; added to existing values: %s', (adds) => {
    const existing = randomValues(x.length, 5);
    const target = new Images(memory, source.shape, existing);
    const expected = Float64Array.from(existing);
    for (let image = 1; image <= images; image++) {
      for (let i = 0; i < inputs; i++) {
        let sum = adds ? existing[image * inputs + i] : 0;
        for (let u = 0; u < units; u++) sum += g[image * units + u] * kernel[i * units + u];
        expected[image * inputs + i] = sum;
      }
    }
    for (const part of parts(inputs)) {
      kernels.denseInputGradient(
        ...of,
        ...([units, kernelAt, target.origin, target.imageBytes, adds] as const),
        ...part,
        ...([1, images, scratch] as const),
      );
    }
    expect(maxError(target.read(), expected)).toBeLessThan(1e-6);
    expect(target.isPaddingZero()).toBe(true);
  });

  test('the gradients of the kernel and the bias match, and nothing is written after them', () => {
    const after = [1, 2, 3, 4, 5, 6, 7, 8];
    const target = memory.floats([...new Float32Array(kernel.length), ...after]);
    const expected = new Float64Array(kernel.length);
    const sums = new Float64Array(units);
    for (let image = 1; image <= images; image++) {
      for (let u = 0; u < units; u++) {
        sums[u] += g[image * units + u];
        for (let i = 0; i < inputs; i++) expected[i * units + u] += x[image * inputs + i] * g[image * units + u];
      }
    }
    for (const part of parts(inputs)) {
      kernels.denseKernelGradient(...from, ...of, units, target, ...part, 1, images, scratch);
    }
    expect(maxError(memory.readFloats(target, kernel.length), expected)).toBeLessThan(1e-6);
    expect([...memory.readFloats(target + 4 * kernel.length, 8)]).toEqual(after);
    const biasTarget = memory.floats([...new Float32Array(units), ...after]);
    kernels.denseBiasGradient(...of, units, biasTarget, 1, images);
    expect(maxError(memory.readFloats(biasTarget, units), sums)).toBeLessThan(1e-6);
    expect([...memory.readFloats(biasTarget + 4 * units, 8)]).toEqual(after);
  });
});

test('the loss of logits, its gradient and the correct flags match, with label smoothing and labels of two bytes', () => {
  const memory = new KernelMemory();
  const [classes, images, smoothing, recordBytes] = [301, 3, 0.1, 5];
  const logits = randomImages(memory, { ...vectorShape, count: images, channels: classes }, 1, 8);
  const values = logits.read();
  const labels = [300, 7, values.indexOf(Math.max(...values.subarray(2 * classes)), 2 * classes) - 2 * classes];
  const records = memory.bytes(Uint8Array.from(labels.flatMap((label) => [label % 256, label >> 8, 9, 9, 9])));
  const gradients = new Images(memory, logits.shape);
  const [losses, correct] = [memory.take(8 * images), memory.take(4 * images)];
  memory.kernels.softmaxLoss(
    ...([logits.origin, logits.imageBytes, classes, records, recordBytes, 2, smoothing] as const),
    ...([gradients.origin, losses, correct, 1, images - 1] as const),
  );
  const expected = new Float64Array(values.length);
  const expectedLosses = [0, 0, 0];
  for (let image = 1; image < images; image++) {
    const own = [...values.subarray(image * classes, (image + 1) * classes)];
    const total = own.reduce((sum, value) => sum + Math.exp(value), 0);
    for (const [c, value] of own.entries()) {
      const wanted = smoothing / classes + (c === labels[image] ? 1 - smoothing : 0);
      expectedLosses[image] -= wanted * (value - Math.log(total));
      expected[image * classes + c] = Math.exp(value) / total - wanted;
    }
  }
  expect(maxError(memory.readDoubles(losses, images), expectedLosses)).toBeLessThan(1e-12);
  expect(maxError(gradients.read(), expected)).toBeLessThan(1e-7);
  expect(gradients.isPaddingZero()).toBe(true);
  expect([...memory.readWords(correct, images)]).toEqual([0, 0, 1]);
});

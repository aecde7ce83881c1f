// The kernels for images, batch norm, shortcuts, the head, exp and log, compared with float64 loops.
import { describe, expect, test } from 'vitest';
import { cifar10Format } from '../../../../shared/dataset/cifar10-layout.js';
import { imagenetMeans } from '../../../../shared/dataset/image-batch.js';
import { referenceInput } from '../../../support/reference-batch.js';
import { KernelMemory, makeFeatureMaps, type FeatureMaps } from './kernel-memory.js';
import { maxError, randomBatch, randomValues } from './samples.js';

const { recordBytes } = cifar10Format;

function randomFeatureMaps(count: number, size: number, channels: number, seed: number): FeatureMaps {
  const maps = makeFeatureMaps(count, size, channels);
  maps.values.set(randomValues(maps.values.length, seed));
  return maps;
}

/** Returns the layout of square images with a one-pixel border, and a range of them. */
function gridOf(size: number, channels: number, first: number, count: number) {
  const rowBytes = (size + 2) * channels * 4;
  return [(size + 2) * rowBytes, rowBytes, size, size, channels, first, count] as const;
}

describe('the arithmetic', () => {
  const { kernels } = new KernelMemory();

  test('exponential agrees with Math.exp to a few units in the last place', () => {
    for (let x = -690; x <= 690; x += 0.37) {
      expect(Math.abs(kernels.exponential(x) / Math.exp(x) - 1)).toBeLessThan(1e-15);
    }
    expect(kernels.exponential(0)).toBe(1);
    expect(kernels.exponential(-1e9)).toBe(0);
    expect(kernels.exponential(Number.NaN)).toBeNaN();
  });

  test('logarithm agrees with Math.log', () => {
    for (let x = 1e-6; x < 1e6; x *= 1.013) {
      expect(Math.abs(kernels.logarithm(x) - Math.log(x))).toBeLessThan(4e-15 * Math.max(1, Math.abs(Math.log(x))));
    }
    expect(kernels.logarithm(1)).toBe(0);
    expect(kernels.logarithm(Number.NaN)).toBeNaN();
  });
});

test('fillImages flips, pads with raw zeros or a reflection, crops and preprocesses, blue first', () => {
  const memory = new KernelMemory();
  const batch = randomBatch(40);
  // Bit 9 selects reflected padding, for every second image.
  batch.augmentations.forEach(
    (packed, image) => (batch.augmentations[image] = image % 2 === 0 ? packed : packed | 512),
  );
  const chosen = new Uint8Array(batch.indices.length * recordBytes);
  for (const [image, index] of batch.indices.entries()) {
    chosen.set(batch.records.subarray(index * recordBytes, (index + 1) * recordBytes), image * recordBytes);
  }
  const means = [imagenetMeans.red, imagenetMeans.green, imagenetMeans.blue];
  const values = memory.floats(means.flatMap((mean) => Array.from({ length: 256 }, (_, byte) => (byte - mean) / 255)));
  const augmentations = memory.bytes(new Uint8Array(batch.augmentations.buffer));
  const target = memory.tensor(makeFeatureMaps(40, 32, 4));
  memory.kernels.fillImages(memory.bytes(chosen), 1, 3, augmentations, values, false, target, 32, 32, 0, 40);
  const actual = memory.readTensor(target, 40, 32, 4).values;
  const expected = referenceInput(batch, 'imagenet', 'bgr');
  const withoutFourth = Float64Array.from(expected, (_, i) => actual[4 * Math.floor(i / 3) + (i % 3)]);
  expect(maxError(withoutFourth, expected)).toBeLessThan(1e-7);
  expect(actual.filter((_, i) => i % 4 === 3).every((value) => value === 0)).toBe(true);
});

describe.each([
  { channels: 4, size: 8, images: 1 },
  { channels: 12, size: 16, images: 3 },
  { channels: 16, size: 8, images: 5 },
])('batch norm: $channels channels, $images images', ({ channels, size, images }) => {
  const memory = new KernelMemory();
  const { kernels } = memory;
  const input = randomFeatureMaps(images, size, channels, 1);
  const shortcut = randomFeatureMaps(images, size, channels, 2);
  const gradient = randomFeatureMaps(images, size, channels, 3);
  const [gamma, beta, bias] = [randomValues(channels, 4), randomValues(channels, 5), randomValues(channels, 6)];
  const epsilon = 0.001;
  const elements = images * size * size;
  const source = memory.tensor(input);
  const sums = memory.take(2 * 8 * channels);
  const coefficients = memory.take(6 * 4 * channels);
  const statistics = memory.take(8 * channels);
  const gammaAt = memory.floats(gamma);
  const mean = new Float64Array(channels);
  const variance = new Float64Array(channels);
  for (const [i, value] of input.values.entries()) mean[i % channels] += value / elements;
  for (const [i, value] of input.values.entries())
    variance[i % channels] += (value - mean[i % channels]) ** 2 / elements;
  const normalized = input.values.map((value, i) => {
    const c = i % channels;
    return (value - mean[c]) / Math.sqrt(variance[c] + epsilon);
  });
  const output = normalized.map((value, i) =>
    Math.max(0, value * gamma[i % channels] + beta[i % channels] + shortcut.values[i]),
  );
  const activation = memory.tensor(makeFeatureMaps(images, size, channels));
  /** Returns the address of pixel (0, 0) of image 0. */
  const originOf = (tensor: number) => memory.strides(tensor, size, channels, 1)[0];

  test('the statistics from two partial sums and the normalized output match', () => {
    kernels.statisticSums(originOf(source), sums, false, ...gridOf(size, channels, 0, 1));
    kernels.statisticSums(originOf(source), sums + 8 * channels, false, ...gridOf(size, channels, 1, images - 1));
    const betaAt = memory.floats(beta);
    const biasAt = memory.floats(bias);
    kernels.batchStatistics(
      sums,
      2,
      elements,
      channels,
      channels,
      gammaAt,
      betaAt,
      biasAt,
      epsilon,
      coefficients,
      statistics,
    );
    const reported = mean.map((value, c) => value + bias[c]);
    expect(maxError(memory.readFloats(statistics, channels), reported)).toBeLessThan(1e-6);
    expect(maxError(memory.readFloats(statistics + 4 * channels, channels), variance)).toBeLessThan(1e-6);
    const around = originOf(memory.tensor(shortcut));
    const grid = gridOf(size, channels, 0, images);
    kernels.normalize(originOf(source), coefficients, around, originOf(activation), ...grid);
    expect(maxError(memory.readTensor(activation, images, size, channels).values, output)).toBeLessThan(1e-6);
  });

  test('the gradients of the input, gamma and beta match', () => {
    const gradientAt = memory.tensor(gradient);
    const tensors = [originOf(gradientAt), originOf(activation), originOf(source), coefficients] as const;
    kernels.maskAndSum(...tensors, sums, false, ...gridOf(size, channels, 0, 1));
    kernels.maskAndSum(...tensors, sums, true, ...gridOf(size, channels, 1, images - 1));
    const [gammaGradient, betaGradient] = [memory.take(4 * channels), memory.take(4 * channels)];
    kernels.gradientCoefficients(sums, 1, elements, channels, channels, coefficients, gammaGradient, betaGradient);
    const to = originOf(gradientAt);
    const grid = gridOf(size, channels, 0, images);
    kernels.batchNormGradient(to, originOf(source), coefficients, to, false, ...grid);

    const masked = gradient.values.map((value, i) => (output[i] > 0 ? value : 0));
    const sum = new Float64Array(channels);
    const products = new Float64Array(channels);
    for (const [i, value] of masked.entries()) {
      sum[i % channels] += value;
      products[i % channels] += value * normalized[i];
    }
    const expected = masked.map((value, i) => {
      const c = i % channels;
      const scale = gamma[c] / Math.sqrt(variance[c] + epsilon);
      return scale * (value - sum[c] / elements - (normalized[i] * products[c]) / elements);
    });
    expect(maxError(memory.readFloats(betaGradient, channels), sum)).toBeLessThan(1e-5);
    expect(maxError(memory.readFloats(gammaGradient, channels), products)).toBeLessThan(1e-5);
    expect(maxError(memory.readTensor(gradientAt, images, size, channels).values, expected)).toBeLessThan(1e-5);
  });
});

test('the variance keeps three digits if the mean is a hundred times the standard deviation', () => {
  const memory = new KernelMemory();
  const input = randomFeatureMaps(2, 8, 4, 1);
  for (let i = 0; i < input.values.length; i++) input.values[i] = Math.fround(input.values[i] + 58);
  const mean = input.values.reduce((sum, value) => sum + value, 0) / input.values.length;
  const sums = memory.take(32);
  const coefficients = memory.take(96);
  const statistics = memory.take(32);
  const [gamma, beta] = [memory.floats([1, 1, 1, 1]), memory.floats([0, 0, 0, 0])];
  const [source] = memory.strides(memory.tensor(input), 8, 4, 1);
  memory.kernels.statisticSums(source, sums, false, ...gridOf(8, 4, 0, 2));
  memory.kernels.batchStatistics(sums, 1, 128, 4, 4, gamma, beta, 0, 0.001, coefficients, statistics);
  const [variance] = memory.readFloats(statistics + 16, 1);
  const own = input.values.filter((_, i) => i % 4 === 0);
  const ownMean = own.reduce((sum, value) => sum + value, 0) / own.length;
  const expected = own.reduce((sum, value) => sum + (value - ownMean) ** 2, 0) / own.length;
  expect(Math.abs(mean - 58)).toBeLessThan(0.2);
  expect(Math.abs(variance / expected - 1)).toBeLessThan(2e-3);
});

test('the identity shortcut copies every second pixel to the middle channels, and the gradient back', () => {
  const memory = new KernelMemory();
  const input = randomFeatureMaps(3, 16, 12, 1);
  const target = memory.tensor(makeFeatureMaps(3, 8, 24));
  memory.kernels.copyNarrowed(memory.tensor(input), 16, target, 8, 24, 0, 3);
  const narrowed = memory.readTensor(target, 3, 8, 24).values;
  const at = (image: number, y: number, x: number, c: number) => input.values[((image * 16 + y) * 16 + x) * 12 + c];
  for (let i = 0; i < narrowed.length; i++) {
    const [c, x, y, image] = [i % 24, Math.floor(i / 24) % 8, Math.floor(i / 192) % 8, Math.floor(i / 1536)];
    expect(narrowed[i]).toBe(c >= 6 && c < 18 ? at(image, 2 * y, 2 * x, c - 6) : 0);
  }
  // Adding the output back to a copy of the input doubles every value that was copied.
  const back = memory.tensor(input);
  memory.kernels.addWidened(target, back, 16, 8, 24, 0, 3);
  const doubled = memory.readTensor(back, 3, 16, 12).values;
  for (let i = 0; i < doubled.length; i++) {
    const [x, y] = [Math.floor(i / 12) % 16, Math.floor(i / 192) % 16];
    expect(doubled[i]).toBe(x % 2 === 0 && y % 2 === 0 ? 2 * input.values[i] : input.values[i]);
  }
});

describe('the head', () => {
  const memory = new KernelMemory();
  const { kernels } = memory;
  const features = makeFeatureMaps(2, 8, 4);
  for (let i = 0; i < features.values.length; i += 4) features.values[i] = i < 256 ? 0.5 : -1;
  const pooled = memory.take(32);
  /** Logits and gradients are vectors of 10 values and 2 of padding. */
  const vectorBytes = 48;
  const [logitGradients, losses, correct] = [memory.take(2 * vectorBytes), memory.take(16), memory.take(8)];
  const grid = gridOf(8, 4, 0, 2);

  /** Computes losses, correct flags and gradients from logits of images with these labels. */
  function lossesOf(logits: number[][], labels: number[], labelSmoothing = 0): void {
    const at = memory.floats(logits.flatMap((own) => [...own, 0, 0]));
    const records = memory.bytes(Uint8Array.from(labels.flatMap((label) => [label, 0, 0])));
    const from = [at, vectorBytes, 10, records, 3, 1, labelSmoothing] as const;
    kernels.softmaxLoss(...from, logitGradients, losses, correct, 0, labels.length);
  }

  test('averages each channel over the pixels, and spreads the gradient evenly over them', () => {
    const source = memory.tensor(features);
    kernels.globalAverage(memory.strides(source, 8, 4, 1)[0], pooled, 16, ...grid);
    expect([...memory.readFloats(pooled, 8)]).toEqual([0.5, 0, 0, 0, -1, 0, 0, 0]);
    const target = memory.tensor(features);
    kernels.globalAverageGradient(pooled, 16, memory.strides(target, 8, 4, 1)[0], false, ...grid);
    const spread = memory.readTensor(target, 2, 8, 4).values;
    expect(spread[0]).toBe(0.5 / 64);
    expect(spread[1]).toBe(0);
    expect([spread[256], spread[508]]).toEqual([-1 / 64, -1 / 64]);
    kernels.globalAverageGradient(pooled, 16, memory.strides(target, 8, 4, 1)[0], true, ...grid);
    expect(memory.readTensor(target, 2, 8, 4).values[0]).toBe(1 / 64);
  });

  test('computes the loss, the correct flag and the gradient of the logits', () => {
    const classes = Array.from({ length: 10 }, (_, c) => c);
    lossesOf([classes.map((c) => c / 2), classes.map((c) => -c)], [9, 3]);
    const total0 = classes.reduce((sum, c) => sum + Math.exp(c / 2), 0);
    const total1 = classes.reduce((sum, c) => sum + Math.exp(-c), 0);
    const [loss0, loss1] = memory.readDoubles(losses, 2);
    expect(loss0).toBeCloseTo(Math.log(total0) - 4.5, 6);
    expect(loss1).toBeCloseTo(Math.log(total1) + 3, 6);
    expect([...memory.readWords(correct, 2)]).toEqual([1, 0]);
    const gradients = memory.readFloats(logitGradients, 24);
    expect(gradients[9]).toBeCloseTo(Math.exp(4.5) / total0 - 1, 6);
    expect(gradients[15]).toBeCloseTo(Math.exp(-3) / total1 - 1, 6);
    expect(gradients[12]).toBeCloseTo(1 / total1, 6);
    expect([...gradients.subarray(10, 12)]).toEqual([0, 0]);
  });

  test('smooths labels like Keras: the label keeps 1 - s + s/10, every other class gets s/10', () => {
    const classes = Array.from({ length: 10 }, (_, c) => c);
    lossesOf([classes], [9], 0.2);
    // The loss is log(sum of e^c) - (sum of q(c) × c), where q is 0.82 for the label and 0.02 for every other class.
    // The second sum is 0.02 × 45 + 0.8 × 9.
    const total = classes.reduce((sum, c) => sum + Math.exp(c), 0);
    expect(memory.readDoubles(losses, 1)[0]).toBeCloseTo(Math.log(total) - (0.9 + 7.2), 12);
    const gradients = memory.readFloats(logitGradients, 10);
    expect(gradients[9]).toBeCloseTo(Math.exp(9) / total - 0.82, 6);
    expect(gradients[0]).toBeCloseTo(1 / total - 0.02, 6);
    expect(memory.readWords(correct, 1)[0]).toBe(1);
  });

  test('takes the first of equal logits as the largest, and none if they are NaN', () => {
    const correctWith = (label: number, logit: number) => {
      lossesOf([Array<number>(10).fill(logit)], [label]);
      return memory.readWords(correct, 1)[0];
    };
    expect(correctWith(0, 0)).toBe(1);
    expect(correctWith(1, 0)).toBe(0);
    expect(correctWith(0, Number.NaN)).toBe(0);
    expect(memory.readDoubles(losses, 1)[0]).toBeNaN();
  });
});

describe.each([
  { inputs: 3, outputs: 10, images: 1 },
  { inputs: 8, outputs: 4, images: 5 },
  { inputs: 37, outputs: 21, images: 6 },
  { inputs: 64, outputs: 8, images: 9 },
])('dense layers: $inputs to $outputs values, $images images', ({ inputs, outputs, images }) => {
  const memory = new KernelMemory();
  const { kernels } = memory;
  const paddedBytes = (count: number) => 16 * Math.ceil(count / 4);
  const x = randomValues(images * inputs, 1);
  const g = randomValues(images * outputs, 2);
  const kernel = randomValues(inputs * outputs, 3);
  const bias = randomValues(outputs, 4);
  const vectors = (values: Float32Array, size: number) => {
    const padded = new Float32Array((images * paddedBytes(size)) / 4);
    for (let image = 0; image < images; image++) {
      padded.set(values.subarray(image * size, (image + 1) * size), (image * paddedBytes(size)) / 4);
    }
    return memory.floats(padded);
  };
  const [source, gradient] = [vectors(x, inputs), vectors(g, outputs)];
  const kernelAt = memory.floats(kernel);
  /** Returns Σ over k of a(i, k) × b(k, j). */
  const products = (rows: number, columns: number, depth: number, of: (i: number, j: number, k: number) => number) =>
    Array.from({ length: rows * columns }, (_, index) => {
      let sum = 0;
      for (let k = 0; k < depth; k++) sum += of(Math.floor(index / columns), index % columns, k);
      return sum;
    });
  const withoutPadding = (at: number, size: number) => {
    const all = memory.readFloats(at, (images * paddedBytes(size)) / 4);
    const isValue = (index: number) => index % (paddedBytes(size) / 4) < size;
    expect(all.filter((_, index) => !isValue(index)).every((value) => value === 0)).toBe(true);
    return all.filter((_, index) => isValue(index));
  };

  test('the forward pass matches', () => {
    const target = memory.take(images * paddedBytes(outputs));
    const from = [source, paddedBytes(inputs), inputs, kernelAt, outputs, memory.floats(bias)] as const;
    kernels.multiplyVectors(...from, target, paddedBytes(outputs), outputs, false, 0, 1);
    kernels.multiplyVectors(...from, target, paddedBytes(outputs), outputs, false, 1, images - 1);
    const sums = products(images, outputs, inputs, (i, j, k) => x[i * inputs + k] * kernel[k * outputs + j]);
    const expected = sums.map((sum, index) => sum + bias[index % outputs]);
    expect(maxError(withoutPadding(target, outputs), expected)).toBeLessThan(1e-6);
  });

  test('the input gradient, added to existing values, and the gradients of the parameters match', () => {
    const transposed = memory.take(outputs * paddedBytes(inputs));
    const width = paddedBytes(inputs) / 4;
    kernels.transposeKernel(kernelAt, inputs, outputs, transposed, width);
    const target = vectors(x, inputs);
    const from = [gradient, paddedBytes(outputs), outputs] as const;
    kernels.multiplyVectors(...from, transposed, width, 0, target, paddedBytes(inputs), width, true, 0, images);
    const toInput = products(images, inputs, outputs, (i, j, k) => g[i * outputs + k] * kernel[j * outputs + k]);
    const expected = toInput.map((sum, index) => sum + x[index]);
    expect(maxError(withoutPadding(target, inputs), expected)).toBeLessThan(1e-6);

    const kernelGradient = memory.take(4 * kernel.length);
    const scratch = memory.take(128);
    for (let first = 0; first < inputs; first += 16) {
      const part = [source, paddedBytes(inputs), first, Math.min(16, inputs - first)] as const;
      const other = [gradient, paddedBytes(outputs), outputs, images] as const;
      kernels.vectorProducts(...part, ...other, kernelGradient, scratch);
    }
    const ofKernel = products(inputs, outputs, images, (i, j, k) => x[k * inputs + i] * g[k * outputs + j]);
    expect(maxError(memory.readFloats(kernelGradient, kernel.length), ofKernel)).toBeLessThan(1e-6);
    const biasGradient = memory.take(4 * outputs);
    kernels.sumVectors(gradient, paddedBytes(outputs), outputs, images, biasGradient);
    const ofBias = products(1, outputs, images, (_, j, k) => g[k * outputs + j]);
    expect(maxError(memory.readFloats(biasGradient, outputs), ofBias)).toBeLessThan(1e-6);
  });
});

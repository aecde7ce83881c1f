// Winograd's and the direct kernels against loops in float64 that follow the definition.
import { describe, expect, test } from 'vitest';
import type { ConvLayer } from '../../../../shared/network/layout.js';
import { KernelMemory } from './kernel-memory.js';
import { convolve, convolveBackward, makePictures, type Pictures } from './reference-model.js';
import { maxError, randomValues } from './samples.js';

const scratchBytes = 72 * (2048 * 4 + 64) + 34 * 6 * 16;

function randomPictures(count: number, size: number, channels: number, seed: number): Pictures {
  const pictures = makePictures(count, size, channels);
  pictures.values.set(randomValues(pictures.values.length, seed));
  return pictures;
}

function layerOf(
  kernelSize: number,
  inputChannels: number,
  outputChannels: number,
  stride: number,
  outputSize: number,
) {
  const array = { name: '', shape: [], offset: 0, size: 0 };
  const inputSize = outputSize * stride;
  const layer: ConvLayer = {
    kernel: array,
    bias: null,
    kernelSize,
    inputChannels,
    outputChannels,
    stride,
    inputSize,
    outputSize,
  };
  return layer;
}

/** Per channel the sum of what is taken of each value. */
function channelSums({ values, channels }: Pictures, take: (value: number, index: number) => number): Float64Array {
  const sums = new Float64Array(channels);
  for (let i = 0; i < values.length; i++) sums[i % channels] += take(values[i], i);
  return sums;
}

describe.each([
  { channels: 4, size: 8, images: 1 },
  { channels: 4, size: 32, images: 3 },
  { channels: 12, size: 16, images: 3 },
  { channels: 16, size: 32, images: 2 },
  { channels: 20, size: 8, images: 7 },
  { channels: 64, size: 8, images: 9 },
  { channels: 136, size: 8, images: 1 },
])('Winograd, $channels channels, $size × $size, $images images', ({ channels, size, images }) => {
  const layer = layerOf(3, channels, channels, 1, size);
  const input = randomPictures(images, size, channels, 1);
  const kernel = randomValues(9 * channels * channels, 2);
  const gradient = randomPictures(images, size, channels, 3);
  const memory = new KernelMemory();
  const { kernels } = memory;
  const scratch = memory.take(scratchBytes);
  const source = memory.tensor(input);
  const gradientAt = memory.tensor(gradient);
  const planes = 36 * channels * channels;
  const [forward, turned] = [memory.take(4 * planes), memory.take(4 * planes)];
  kernels.transformFilters(memory.floats(kernel), channels, 0, channels, forward, turned, scratch);

  test('forward, with the sums for batch norm over two blocks of images', () => {
    const target = memory.tensor(makePictures(images, size, channels));
    const sums = memory.take(8 * channels);
    kernels.winogradForward(source, forward, target, sums, false, size, channels, 0, 1, scratch);
    kernels.winogradForward(source, forward, target, sums, true, size, channels, 1, images - 1, scratch);
    const expected = convolve(layer, input, kernel);
    expect(maxError(memory.readTensor(target, images, size, channels).values, expected.values)).toBeLessThan(1e-5);
    const [sum, squares] = [memory.readFloats(sums, channels), memory.readFloats(sums + 4 * channels, channels)];
    expect(
      maxError(
        sum,
        channelSums(expected, (value) => value),
      ),
    ).toBeLessThan(1e-4);
    expect(
      maxError(
        squares,
        channelSums(expected, (value) => value ** 2),
      ),
    ).toBeLessThan(1e-5);
  });

  test.each([false, true])('input gradient, masked, with the sums for batch norm; shortcut %s', (hasShortcut) => {
    const activation = randomPictures(images, size, channels, 4);
    const normalized = randomPictures(images, size, channels, 5);
    const shortcut = randomPictures(images, size, channels, 6);
    const means = randomValues(channels, 7);
    const target = memory.tensor(shortcut);
    const sums = memory.take(8 * channels);
    kernels.winogradInputGradient(
      gradientAt,
      turned,
      target,
      hasShortcut ? target : 0,
      memory.tensor(activation),
      memory.tensor(normalized),
      memory.floats(means),
      sums,
      false,
      size,
      channels,
      0,
      images,
      scratch,
    );
    const expected = convolveBackward(layer, input, kernel, gradient).inputGradient;
    for (let i = 0; i < expected.values.length; i++) {
      if (hasShortcut) expected.values[i] += shortcut.values[i];
      if (activation.values[i] <= 0) expected.values[i] = 0;
    }
    expect(maxError(memory.readTensor(target, images, size, channels).values, expected.values)).toBeLessThan(1e-5);
    const [sum, products] = [memory.readFloats(sums, channels), memory.readFloats(sums + 4 * channels, channels)];
    const expectedProducts = channelSums(expected, (value, i) => value * (normalized.values[i] - means[i % channels]));
    expect(
      maxError(
        sum,
        channelSums(expected, (value) => value),
      ),
    ).toBeLessThan(1e-4);
    expect(maxError(products, expectedProducts)).toBeLessThan(1e-4);
  });

  test('filter gradient, from two parts', () => {
    const partBytes = 36 * (channels * channels * 4 + 64);
    const parts = memory.take(2 * partBytes);
    const split = Math.ceil(images / 2);
    kernels.winogradFilterGradient(source, gradientAt, parts, false, size, channels, 0, split, scratch);
    const second = parts + partBytes;
    if (images > 1) {
      kernels.winogradFilterGradient(source, gradientAt, second, false, size, channels, split, images - split, scratch);
    }
    const target = memory.take(4 * kernel.length);
    kernels.winogradFilterGradientEnd(parts, images > 1 ? 2 : 1, target, channels, 0, channels, scratch);
    const expected = convolveBackward(layer, input, kernel, gradient).kernelGradient;
    expect(maxError(memory.readFloats(target, kernel.length), expected)).toBeLessThan(3e-5);
  });
});

describe.each([
  { kernelSize: 3, inputs: 3, outputs: 4, stride: 1, size: 32, images: 2 },
  { kernelSize: 3, inputs: 3, outputs: 16, stride: 1, size: 32, images: 1 },
  { kernelSize: 3, inputs: 4, outputs: 8, stride: 2, size: 16, images: 3 },
  { kernelSize: 3, inputs: 24, outputs: 48, stride: 2, size: 8, images: 1 },
  { kernelSize: 3, inputs: 12, outputs: 12, stride: 1, size: 8, images: 2 },
  { kernelSize: 1, inputs: 4, outputs: 8, stride: 2, size: 16, images: 3 },
  { kernelSize: 1, inputs: 12, outputs: 24, stride: 2, size: 8, images: 5 },
])('direct $kernelSize × $kernelSize, $inputs to $outputs, stride $stride, $images images', (shape) => {
  const { kernelSize, inputs, outputs, stride, size, images } = shape;
  const layer = layerOf(kernelSize, inputs, outputs, stride, size);
  const depth = Math.max(4, inputs);
  const input = randomPictures(images, size * stride, inputs, 1);
  const kernel = randomValues(kernelSize ** 2 * inputs * outputs, 2);
  const bias = randomValues(outputs, 8);
  const gradient = randomPictures(images, size, outputs, 3);
  const memory = new KernelMemory();
  const { kernels } = memory;
  const from = memory.walk(memory.tensor(input, depth), size * stride, depth, stride);
  const gradientAt = memory.tensor(gradient);
  const kernelAt = memory.floats(kernel);
  const before = kernelSize === 3 && stride === 1 ? 1 : 0;
  const taps = Array.from({ length: kernelSize ** 2 }, (_, tap) => ({
    row: Math.floor(tap / kernelSize) - before,
    column: (tap % kernelSize) - before,
    element: tap * inputs * outputs,
  }));
  const offsets = memory.words(taps.map(({ row, column }) => (row * (size * stride + 2) + column) * depth * 4));

  test('forward with bias', () => {
    const elements = memory.words(taps.map(({ element }) => element));
    const weights = memory.take(4 * taps.length * depth * outputs);
    kernels.packWeights(kernelAt, elements, taps.length, inputs, depth, outputs, outputs, 1, weights);
    const target = memory.tensor(makePictures(images, size, outputs));
    const to = memory.walk(target, size, outputs, 1);
    const biasAt = memory.floats(bias);
    kernels.convolve(...from, depth, offsets, taps.length, weights, biasAt, false, ...to, outputs, size, 0, images);
    const expected = convolve(layer, input, kernel, bias);
    expect(maxError(memory.readTensor(target, images, size, outputs).values, expected.values)).toBeLessThan(1e-6);
  });

  test.runIf(inputs % 4 === 0)('input gradient, one phase after the other, added to what was there', () => {
    const there = randomPictures(images, size * stride, inputs, 9);
    const target = memory.tensor(there);
    for (let phase = 0; phase < stride * stride; phase++) {
      const [row, column] = [Math.floor(phase / stride), phase % stride];
      // an input pixel's tap t comes from the output pixel (phase - t) / stride, where that is whole
      const ofPhase = taps
        .map((tap) => ({ y: (row - tap.row) / stride, x: (column - tap.column) / stride, element: tap.element }))
        .filter(({ y, x }) => Number.isInteger(y) && Number.isInteger(x));
      if (ofPhase.length === 0) continue;
      const phaseOffsets = memory.words(ofPhase.map(({ y, x }) => (y * (size + 2) + x) * outputs * 4));
      const elements = memory.words(ofPhase.map(({ element }) => element));
      const weights = memory.take(4 * ofPhase.length * outputs * inputs);
      const count = ofPhase.length;
      kernels.packWeights(kernelAt, elements, count, outputs, outputs, 1, inputs, outputs, weights);
      const of = memory.walk(gradientAt, size, outputs, 1);
      const to = memory.walk(target, size * stride, inputs, stride, row, column);
      kernels.convolve(...of, outputs, phaseOffsets, count, weights, 0, true, ...to, inputs, size, 0, images);
    }
    const expected = convolveBackward(layer, input, kernel, gradient).inputGradient;
    for (let i = 0; i < expected.values.length; i++) expected.values[i] += there.values[i];
    const actual = memory.readTensor(target, images, size * stride, inputs);
    expect(maxError(actual.values, expected.values)).toBeLessThan(1e-6);
  });

  test('filter gradient, from blocks of images, and bias gradient', () => {
    const sums = memory.take(4 * taps.length * depth * outputs);
    const sum = (first: number, count: number, continues: boolean) =>
      kernels.filterGradient(
        ...from,
        depth,
        offsets,
        taps.length,
        gradientAt,
        outputs,
        size,
        first,
        count,
        sums,
        continues,
      );
    sum(0, 1, false);
    if (images > 1) sum(1, images - 1, true);
    const target = memory.take(4 * kernel.length);
    kernels.filterGradientEnd(sums, 1, taps.length, depth, inputs, outputs, target);
    const expected = convolveBackward(layer, input, kernel, gradient);
    expect(maxError(memory.readFloats(target, kernel.length), expected.kernelGradient)).toBeLessThan(1e-5);
    const biasSums = memory.take(4 * outputs);
    kernels.biasGradient(gradientAt, biasSums, outputs, size, 0, images);
    expect(maxError(memory.readFloats(biasSums, outputs), expected.biasGradient)).toBeLessThan(1e-5);
  });
});

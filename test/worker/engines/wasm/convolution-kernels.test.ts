// The Winograd kernels and the direct kernels, compared with float64 loops that follow the definition.
import { describe, expect, test } from 'vitest';
import type { ConvLayer } from '../../../../shared/network/layout.js';
import { KernelMemory } from './kernel-memory.js';
import { convolve, convolveBackward, makeFeatureMaps, type FeatureMaps } from './reference-model.js';
import { maxError, randomValues } from './samples.js';

const scratchBytes = 72 * (2048 * 4 + 64) + 34 * 6 * 16;

function randomFeatureMaps(count: number, size: number, channels: number, seed: number): FeatureMaps {
  const maps = makeFeatureMaps(count, size, channels);
  maps.values.set(randomValues(maps.values.length, seed));
  return maps;
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

/** Returns, for each channel, the sum of a function of its values. */
function channelSums({ values, channels }: FeatureMaps, map: (value: number, index: number) => number): Float64Array {
  const sums = new Float64Array(channels);
  for (let i = 0; i < values.length; i++) sums[i % channels] += map(values[i], i);
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
])('Winograd kernels: $channels channels, $size × $size, $images images', ({ channels, size, images }) => {
  const layer = layerOf(3, channels, channels, 1, size);
  const input = randomFeatureMaps(images, size, channels, 1);
  const kernel = randomValues(9 * channels * channels, 2);
  const gradient = randomFeatureMaps(images, size, channels, 3);
  const memory = new KernelMemory();
  const { kernels } = memory;
  const scratch = memory.take(scratchBytes);
  const source = memory.tensor(input);
  const gradientAt = memory.tensor(gradient);
  const planes = 36 * channels * channels;
  const [forward, turned] = [memory.take(4 * planes), memory.take(4 * planes)];
  kernels.transformFilters(memory.floats(kernel), channels, channels, 0, channels, forward, turned, scratch);

  test('the forward pass and its batch-norm sums over two blocks of images match', () => {
    const target = memory.tensor(makeFeatureMaps(images, size, channels));
    const sums = memory.take(8 * channels);
    kernels.winogradForward(source, forward, target, sums, false, size, size, channels, channels, 0, 1, scratch);
    kernels.winogradForward(
      source,
      forward,
      target,
      sums,
      true,
      size,
      size,
      channels,
      channels,
      1,
      images - 1,
      scratch,
    );
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

  test.each([false, true])(
    'the masked input gradient and its batch-norm sums match, with a shortcut: %s',
    (hasShortcut) => {
      const activation = randomFeatureMaps(images, size, channels, 4);
      const normalized = randomFeatureMaps(images, size, channels, 5);
      const shortcut = randomFeatureMaps(images, size, channels, 6);
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
        size,
        channels,
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
      const expectedProducts = channelSums(
        expected,
        (value, i) => value * (normalized.values[i] - means[i % channels]),
      );
      expect(
        maxError(
          sum,
          channelSums(expected, (value) => value),
        ),
      ).toBeLessThan(1e-4);
      expect(maxError(products, expectedProducts)).toBeLessThan(1e-4);
    },
  );

  test('the filter gradient from two partial sums matches', () => {
    const sumBytes = 36 * (channels * channels * 4 + 64);
    const partialSums = memory.take(2 * sumBytes);
    const split = Math.ceil(images / 2);
    const sum = (at: number, first: number, count: number) =>
      kernels.winogradFilterGradient(
        source,
        gradientAt,
        at,
        false,
        size,
        size,
        channels,
        channels,
        first,
        count,
        scratch,
      );
    sum(partialSums, 0, split);
    if (images > 1) sum(partialSums + sumBytes, split, images - split);
    const target = memory.take(4 * kernel.length);
    const partialCount = images > 1 ? 2 : 1;
    kernels.winogradFilterGradientEnd(partialSums, partialCount, target, channels, channels, 0, channels, scratch);
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
])(
  'direct kernels: $kernelSize × $kernelSize, $inputs to $outputs channels, stride $stride, $images images',
  (shape) => {
    const { kernelSize, inputs, outputs, stride, size, images } = shape;
    const layer = layerOf(kernelSize, inputs, outputs, stride, size);
    const depth = Math.max(4, inputs);
    const input = randomFeatureMaps(images, size * stride, inputs, 1);
    const kernel = randomValues(kernelSize ** 2 * inputs * outputs, 2);
    const bias = randomValues(outputs, 8);
    const gradient = randomFeatureMaps(images, size, outputs, 3);
    const memory = new KernelMemory();
    const { kernels } = memory;
    const from = memory.strides(memory.tensor(input, depth), size * stride, depth, stride);
    const gradientAt = memory.tensor(gradient);
    const kernelAt = memory.floats(kernel);
    const before = kernelSize === 3 && stride === 1 ? 1 : 0;
    const taps = Array.from({ length: kernelSize ** 2 }, (_, tap) => ({
      row: Math.floor(tap / kernelSize) - before,
      column: (tap % kernelSize) - before,
      element: tap * inputs * outputs,
    }));
    const offsets = memory.words(taps.map(({ row, column }) => (row * (size * stride + 2) + column) * depth * 4));

    test('the forward pass with a bias matches', () => {
      const elements = memory.words(taps.map(({ element }) => element));
      const weights = memory.take(4 * taps.length * depth * outputs);
      kernels.packWeights(kernelAt, elements, taps.length, inputs, depth, outputs, outputs, 1, weights);
      const target = memory.tensor(makeFeatureMaps(images, size, outputs));
      const to = memory.strides(target, size, outputs, 1);
      const biasAt = memory.floats(bias);
      kernels.convolve(
        ...from,
        depth,
        offsets,
        taps.length,
        weights,
        biasAt,
        false,
        ...to,
        outputs,
        size,
        size,
        0,
        images,
      );
      const expected = convolve(layer, input, kernel, bias);
      expect(maxError(memory.readTensor(target, images, size, outputs).values, expected.values)).toBeLessThan(1e-6);
    });

    test.runIf(inputs % 4 === 0)('the input gradient matches, phase by phase, added to existing values', () => {
      const existing = randomFeatureMaps(images, size * stride, inputs, 9);
      const target = memory.tensor(existing);
      for (let phase = 0; phase < stride * stride; phase++) {
        const [row, column] = [Math.floor(phase / stride), phase % stride];
        // Along each axis, tap t connects input pixel stride × i + phase to output pixel i + (phase - t) / stride, if
        // that is an integer.
        const phaseTaps = taps
          .map((tap) => ({ y: (row - tap.row) / stride, x: (column - tap.column) / stride, element: tap.element }))
          .filter(({ y, x }) => Number.isInteger(y) && Number.isInteger(x));
        if (phaseTaps.length === 0) continue;
        const phaseOffsets = memory.words(phaseTaps.map(({ y, x }) => (y * (size + 2) + x) * outputs * 4));
        const elements = memory.words(phaseTaps.map(({ element }) => element));
        const weights = memory.take(4 * phaseTaps.length * outputs * inputs);
        const count = phaseTaps.length;
        kernels.packWeights(kernelAt, elements, count, outputs, outputs, 1, inputs, outputs, weights);
        const of = memory.strides(gradientAt, size, outputs, 1);
        const to = memory.strides(target, size * stride, inputs, stride, row, column);
        kernels.convolve(...of, outputs, phaseOffsets, count, weights, 0, true, ...to, inputs, size, size, 0, images);
      }
      const expected = convolveBackward(layer, input, kernel, gradient).inputGradient;
      for (let i = 0; i < expected.values.length; i++) expected.values[i] += existing.values[i];
      const actual = memory.readTensor(target, images, size * stride, inputs);
      expect(maxError(actual.values, expected.values)).toBeLessThan(1e-6);
    });

    test('the filter gradient over blocks of images and the bias gradient match', () => {
      const sums = memory.take(4 * taps.length * depth * outputs);
      const sum = (first: number, count: number, continues: boolean) =>
        kernels.filterGradient(
          ...from,
          depth,
          offsets,
          taps.length,
          ...memory.strides(gradientAt, size, outputs, 1),
          outputs,
          size,
          size,
          first,
          count,
          sums,
          continues,
        );
      sum(0, 1, false);
      if (images > 1) sum(1, images - 1, true);
      const target = memory.take(4 * kernel.length);
      kernels.filterGradientEnd(sums, 1, 0, taps.length, depth, inputs, outputs, target);
      const expected = convolveBackward(layer, input, kernel, gradient);
      expect(maxError(memory.readFloats(target, kernel.length), expected.kernelGradient)).toBeLessThan(1e-5);
      const biasSums = memory.take(4 * outputs);
      const [gradientPixel, imageBytes, rowBytes] = memory.strides(gradientAt, size, outputs, 1);
      const grid = [imageBytes, rowBytes, size, size, outputs, 0, images] as const;
      kernels.biasGradient(gradientPixel, biasSums, 0, outputs, ...grid);
      expect(maxError(memory.readFloats(biasSums, outputs), expected.biasGradient)).toBeLessThan(1e-5);
    });
  },
);

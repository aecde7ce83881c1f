// Winograd kernels with different numbers of input and output channels and any image size, and those that also compute
// the sums of batch norm, compared with float64 loops.
import { describe, expect, test } from 'vitest';
import { KernelMemory } from '../kernel-memory.js';
import { maxError, randomValues } from '../samples.js';
import { Images, randomImages } from './images.js';

const scratchBytes = (width: number) => 72 * (2048 * 4 + 64) + 2 * 96 * (4 * Math.ceil(width / 4) + 2);

interface Shape {
  inputs: number;
  outputs: number;
  height: number;
  width: number;
}

/** Calls `visit` with the indices of an input, a weight and an output for every product of some images. */
function eachProduct(
  { inputs, outputs, height, width }: Shape,
  [first, end]: readonly [number, number],
  visit: (input: number, weight: number, output: number) => void,
): void {
  for (let image = first; image < end; image++) {
    for (let y = 0; y < height; y++) {
      for (let fromX = 0; fromX < width; fromX++) {
        for (let tap = 0; tap < 9; tap++) {
          const [toY, toX] = [y + 1 - Math.floor(tap / 3), fromX + 1 - (tap % 3)];
          if (toY < 0 || toX < 0 || toY >= height || toX >= width) continue;
          const from = ((image * height + y) * width + fromX) * inputs;
          const to = ((image * height + toY) * width + toX) * outputs;
          for (let i = 0; i < inputs; i++) {
            for (let o = 0; o < outputs; o++) visit(from + i, (tap * inputs + i) * outputs + o, to + o);
          }
        }
      }
    }
  }
}

describe.each([
  { inputs: 4, outputs: 8, height: 8, width: 8, count: 4 },
  { inputs: 24, outputs: 12, height: 7, width: 7, count: 5 },
  { inputs: 8, outputs: 20, height: 14, width: 9, count: 4 },
  { inputs: 136, outputs: 4, height: 5, width: 6, count: 4 },
  { inputs: 12, outputs: 12, height: 1, width: 3, count: 9 },
  { inputs: 64, outputs: 64, height: 8, width: 8, count: 4 },
])('Winograd kernels: $inputs to $outputs channels, $height × $width', ({ inputs, outputs, height, width, count }) => {
  const memory = new KernelMemory();
  const { kernels } = memory;
  const scratch = memory.take(scratchBytes(width));
  const x = randomImages(memory, { count, height, width, channels: inputs }, 1);
  // Tiles that are partly outside of the last image would read this.
  memory.floats(new Float32Array(4096).fill(Number.NaN));
  const g = randomImages(memory, { count, height, width, channels: outputs }, 2);
  memory.floats(new Float32Array(4096).fill(Number.NaN));
  const kernel = randomValues(9 * inputs * outputs, 3);
  const bias = randomValues(outputs, 4);
  const planes = 4 * 36 * inputs * outputs;
  const [forward, turned] = [memory.take(planes), memory.take(planes)];
  kernels.transformFilters(memory.floats(kernel), inputs, outputs, 0, inputs, forward, turned, scratch);
  const [xValues, gValues] = [x.read(), g.read()];

  const shape = { inputs, outputs, height, width };
  const range = [1, count - 1] as const;

  test.each([false, true])('the forward pass with a bias matches; added to existing values: %s', (adds) => {
    const existing = randomValues(gValues.length, 5);
    const target = new Images(memory, g.shape, existing);
    const perImage = height * width * outputs;
    const expected = Float64Array.from(existing, (value, i) => {
      const isInRange = i >= perImage && i < (count - 1) * perImage;
      return isInRange ? bias[i % outputs] + (adds ? value : 0) : value;
    });
    eachProduct(shape, range, (input, weight, output) => (expected[output] += xValues[input] * kernel[weight]));
    kernels.winogradConvolve(
      ...([x.address, forward, memory.floats(bias), target.address, adds] as const),
      ...([height, width, inputs, outputs, 1, count - 2, scratch] as const),
    );
    expect(maxError(target.read(), expected)).toBeLessThan(1e-5);
    expect(target.isPaddingZero()).toBe(true);
  });

  test('the input gradient, with the turned filters, matches', () => {
    const target = new Images(memory, x.shape);
    const expected = new Float64Array(xValues.length);
    eachProduct(shape, range, (input, weight, output) => (expected[input] += gValues[output] * kernel[weight]));
    kernels.winogradConvolve(
      ...([g.address, turned, 0, target.address, false] as const),
      ...([height, width, outputs, inputs, 1, count - 2, scratch] as const),
    );
    expect(maxError(target.read(), expected)).toBeLessThan(1e-5);
    expect(target.isPaddingZero()).toBe(true);
  });

  test('the filter gradient from two partial sums matches', () => {
    const sumBytes = 36 * (inputs * outputs * 4 + 64);
    const sums = memory.take(2 * sumBytes);
    const run = (at: number, continues: boolean, first: number, images: number) =>
      kernels.winogradFilterGradient(
        ...([x.address, g.address, at, continues, height, width, inputs, outputs, first, images, scratch] as const),
      );
    run(sums, false, 1, 1);
    run(sums + sumBytes, false, 2, 1);
    if (count > 4) run(sums + sumBytes, true, 3, count - 4);
    const target = memory.take(4 * kernel.length);
    kernels.winogradFilterGradientEnd(sums, 2, target, inputs, outputs, 0, inputs, scratch);
    const expected = new Float64Array(kernel.length);
    eachProduct(shape, range, (input, weight, output) => (expected[weight] += xValues[input] * gValues[output]));
    expect(maxError(memory.readFloats(target, kernel.length), expected)).toBeLessThan(3e-5);
  });
});

/** Returns, for each channel, the sum of a function of its values. */
function channelSums(values: Float64Array, channels: number, map: (value: number, index: number) => number) {
  const sums = new Float64Array(channels);
  for (const [i, value] of values.entries()) sums[i % channels] += map(value, i);
  return sums;
}

describe.each([
  { channels: 4, size: 8, count: 1 },
  { channels: 4, size: 32, count: 3 },
  { channels: 12, size: 16, count: 3 },
  { channels: 16, size: 32, count: 2 },
  { channels: 20, size: 8, count: 7 },
  { channels: 64, size: 8, count: 9 },
  { channels: 136, size: 8, count: 1 },
])('Winograd kernels beside a batch norm: $channels channels, $size × $size, $count images', (sizes) => {
  const { channels, size, count } = sizes;
  const shape = { count, height: size, width: size, channels };
  const products = { inputs: channels, outputs: channels, height: size, width: size };
  const memory = new KernelMemory();
  const { kernels } = memory;
  const scratch = memory.take(scratchBytes(size));
  const [x, g] = [randomImages(memory, shape, 1), randomImages(memory, shape, 2)];
  const [xValues, gValues] = [x.read(), g.read()];
  const kernel = randomValues(9 * channels * channels, 3);
  const planes = 4 * 36 * channels * channels;
  const [forward, turned] = [memory.take(planes), memory.take(planes)];
  kernels.transformFilters(memory.floats(kernel), channels, channels, 0, channels, forward, turned, scratch);
  const sums = memory.take(8 * channels);
  const readSums = () => [memory.readFloats(sums, channels), memory.readFloats(sums + 4 * channels, channels)] as const;
  const form = [size, size, channels, channels] as const;

  test('the forward pass and its batch-norm sums over two blocks of images match', () => {
    const target = new Images(memory, shape);
    kernels.winogradForward(x.address, forward, target.address, sums, false, ...form, 0, 1, scratch);
    kernels.winogradForward(x.address, forward, target.address, sums, true, ...form, 1, count - 1, scratch);
    const expected = new Float64Array(xValues.length);
    eachProduct(products, [0, count], (input, weight, output) => {
      expected[output] += xValues[input] * kernel[weight];
    });
    expect(maxError(target.read(), expected)).toBeLessThan(1e-5);
    expect(target.isPaddingZero()).toBe(true);
    const [sum, squares] = readSums();
    const expectedSum = channelSums(expected, channels, (value) => value);
    const expectedSquares = channelSums(expected, channels, (value) => value ** 2);
    expect(maxError(sum, expectedSum)).toBeLessThan(1e-4);
    expect(maxError(squares, expectedSquares)).toBeLessThan(1e-5);
  });

  test.each([false, true])('the masked input gradient and its batch-norm sums match, with a shortcut: %s', (adds) => {
    const [activation, normalized] = [randomImages(memory, shape, 4), randomImages(memory, shape, 5)];
    const [active, values] = [activation.read(), normalized.read()];
    const target = randomImages(memory, shape, 6);
    const shortcut = target.read();
    const means = randomValues(channels, 7);
    kernels.winogradInputGradient(
      ...([g.address, turned, target.address, adds ? target.address : 0] as const),
      ...([activation.address, normalized.address, memory.floats(means), sums, false] as const),
      ...form,
      ...([0, count, scratch] as const),
    );
    const expected = new Float64Array(xValues.length);
    eachProduct(products, [0, count], (input, weight, output) => {
      expected[input] += gValues[output] * kernel[weight];
    });
    for (let i = 0; i < expected.length; i++) {
      if (adds) expected[i] += shortcut[i];
      if (active[i] <= 0) expected[i] = 0;
    }
    expect(maxError(target.read(), expected)).toBeLessThan(1e-5);
    const [sum, sumOfProducts] = readSums();
    const expectedSum = channelSums(expected, channels, (value) => value);
    const expectedProducts = channelSums(expected, channels, (value, i) => value * (values[i] - means[i % channels]));
    expect(maxError(sum, expectedSum)).toBeLessThan(1e-4);
    expect(maxError(sumOfProducts, expectedProducts)).toBeLessThan(1e-4);
  });
});

// Sums, products, copies and padding, compared with loops.
import { expect, test } from 'vitest';
import { KernelMemory } from '../kernel-memory.js';
import { maxError, randomValues } from '../samples.js';
import { Images, randomImages } from './images.js';

const shape = { count: 4, height: 3, width: 5, channels: 22 };
const perImage = 3 * 5 * 22;
/** Kernels run on images 1 and 2 of 4. */
const isInRange = (index: number) => index >= perImage && index < 3 * perImage;
const imageOf = (index: number) => Math.floor(index / perImage);
const channelOf = (index: number) => index % shape.channels;

const memory = new KernelMemory();
const { kernels } = memory;
const a = randomImages(memory, shape, 1);
const b = randomImages(memory, shape, 2);
const [aValues, bValues] = [a.read(), b.read()];
const existing = randomValues(aValues.length, 3);
const grid = a.grid(1, 2);

/** Returns the expected values of a target that starts with the existing values. */
function expectedValues(adds: boolean, value: (index: number) => number): Float32Array {
  return existing.map((before, index) => {
    if (!isInRange(index)) return before;
    return adds ? before + value(index) : value(index);
  });
}

/** Returns one vector of 22 values, and 2 of padding, for each image. */
function perImageVectors(seed: number): Images {
  return randomImages(memory, { count: 4, height: 1, width: 1, channels: shape.channels, border: 0 }, seed);
}

test('addTensors adds two tensors', () => {
  const target = new Images(memory, shape, existing);
  kernels.addTensors(a.origin, b.origin, target.origin, ...grid);
  expect(target.read()).toEqual(expectedValues(false, (i) => Math.fround(aValues[i] + bValues[i])));
  expect(target.isPaddingZero()).toBe(true);
});

test.each([false, true])('multiplyTensors multiplies two tensors; adds to the target: %s', (adds) => {
  const target = new Images(memory, shape, existing);
  kernels.multiplyTensors(a.origin, b.origin, target.origin, adds, ...grid);
  const expected = expectedValues(adds, (i) => Math.fround(aValues[i] * bValues[i]));
  expect(target.read()).toEqual(expected);
  expect(target.isPaddingZero()).toBe(true);
});

test.each([false, true])('multiplyChannels multiplies by a factor per image and channel; adds: %s', (adds) => {
  const factors = perImageVectors(4);
  const factorValues = factors.read();
  const target = new Images(memory, shape, existing);
  kernels.multiplyChannels(a.origin, factors.origin, factors.imageBytes, target.origin, adds, ...grid);
  const factorOf = (index: number) => factorValues[imageOf(index) * shape.channels + channelOf(index)];
  expect(target.read()).toEqual(expectedValues(adds, (i) => Math.fround(aValues[i] * factorOf(i))));
  expect(target.isPaddingZero()).toBe(true);
});

test.each([false, true])('sumProductsOfChannels sums the products over the pixels of each image; adds: %s', (adds) => {
  const target = perImageVectors(5);
  const expected = Float64Array.from(target.read());
  if (!adds) expected.fill(0, shape.channels, 3 * shape.channels);
  for (let i = perImage; i < 3 * perImage; i++) {
    expected[imageOf(i) * shape.channels + channelOf(i)] += aValues[i] * bValues[i];
  }
  kernels.sumProductsOfChannels(a.origin, b.origin, target.origin, target.imageBytes, adds, ...grid);
  expect(maxError(target.read(), expected)).toBeLessThan(1e-6);
  expect(target.isPaddingZero()).toBe(true);
});

test('scaleChannels multiplies by a factor and adds an offset per channel', () => {
  const factors = randomValues(24, 6);
  const offsets = randomValues(24, 7).fill(0, 22);
  const target = new Images(memory, shape, existing);
  kernels.scaleChannels(a.origin, memory.floats(factors), memory.floats(offsets), target.origin, ...grid);
  const expected = expectedValues(false, (i) => aValues[i] * factors[channelOf(i)] + offsets[channelOf(i)]);
  expect(maxError(target.read(), expected)).toBeLessThan(2e-7);
  expect(target.isPaddingZero()).toBe(true);
});

test('fillZeros clears the pixels of the images', () => {
  const target = new Images(memory, shape, existing);
  kernels.fillZeros(target.origin, ...grid);
  expect(target.read()).toEqual(expectedValues(false, () => 0));
});

test('copyChannels concatenates at any channel, and adds the gradient of a concatenation back', () => {
  const [left, right] = [
    randomImages(memory, { ...shape, channels: 3 }, 8),
    randomImages(memory, { ...shape, channels: 7 }, 9),
  ];
  const target = new Images(memory, { ...shape, channels: 10, border: 2 });
  const [origin, ...layout] = target.strides();
  kernels.copyChannels(...left.strides(), ...target.strides(), false, 3, 5, 3, 0, 4);
  kernels.copyChannels(...right.strides(), origin + 12, ...layout, false, 3, 5, 7, 0, 4);
  const [leftValues, rightValues] = [left.read(), right.read()];
  const expected = target.read().map((_, index) => {
    const [pixel, channel] = [Math.floor(index / 10), index % 10];
    return channel < 3 ? leftValues[3 * pixel + channel] : rightValues[7 * pixel + channel - 3];
  });
  expect(target.read()).toEqual(expected);
  expect(target.isPaddingZero()).toBe(true);

  kernels.copyChannels(origin + 12, ...layout, ...right.strides(), true, 3, 5, 7, 1, 2);
  const doubled = rightValues.map((value, index) => (imageOf((index * 22) / 7) % 3 === 0 ? value : 2 * value));
  expect(right.read()).toEqual(doubled);
  expect(right.isPaddingZero()).toBe(true);
});

test('copyChannels flattens images to vectors without padding', () => {
  const vectors = new Images(memory, { count: 4, height: 1, width: 1, channels: perImage, border: 0 });
  const { imageBytes } = vectors;
  kernels.copyChannels(...a.strides(), vectors.origin, imageBytes, 5 * 22 * 4, 22 * 4, false, 3, 5, 22, 0, 4);
  expect(vectors.read()).toEqual(aValues);
  expect(vectors.isPaddingZero()).toBe(true);
  // From vectors with other extents, contiguous in both tensors: 30 × 11 values.
  const copy = new Images(memory, { count: 4, height: 1, width: 1, channels: perImage, border: 0 });
  kernels.copyChannels(
    vectors.origin,
    imageBytes,
    44 * 5,
    44,
    copy.origin,
    imageBytes,
    44 * 5,
    44,
    false,
    6,
    5,
    11,
    0,
    4,
  );
  expect(copy.read()).toEqual(aValues);
});

test('padWeights pads rows and columns with zeros, and addPartialSums adds up and removes the padding', () => {
  const weights = randomValues(2 * 3 * 5, 10);
  const padded = memory.take(4 * 3 * 2 * 4 * 8);
  kernels.padWeights(memory.floats(weights), 2, 3, 5, padded, 4, 8);
  const values = memory.readFloats(padded, 2 * 4 * 8);
  for (let i = 0; i < values.length; i++) {
    const [block, row, column] = [Math.floor(i / 32), Math.floor(i / 8) % 4, i % 8];
    expect(values[i]).toBe(row < 3 && column < 5 ? weights[(block * 3 + row) * 5 + column] : 0);
  }
  // The second partial sum is 1 everywhere, the third 2.
  memory.writeFloats(padded + 256, new Float32Array(64).fill(1));
  memory.writeFloats(padded + 512, new Float32Array(64).fill(2));
  const sums = memory.take(4 * 30);
  kernels.addPartialSums(padded, 3, 256, 2, 3, 5, sums, 4, 8);
  expect(memory.readFloats(sums, 30)).toEqual(weights.map((value) => Math.fround(value + 1) + 2));
});

test('expandGroups puts the weights of each group on the diagonal, and collectGroups takes them back', () => {
  // 2 taps, 3 groups of 2 inputs and 1 output
  const weights = randomValues(2 * 2 * 3, 11);
  const expanded = memory.take(4 * 2 * 8 * 4);
  kernels.expandGroups(memory.floats(weights), 2, 3, 2, 1, expanded, 8, 4);
  const values = memory.readFloats(expanded, 2 * 8 * 4);
  for (let i = 0; i < values.length; i++) {
    const [tap, input, output] = [Math.floor(i / 32), Math.floor(i / 4) % 8, i % 4];
    const isInGroup = input < 6 && Math.floor(input / 2) === output;
    expect(values[i]).toBe(isInGroup ? weights[(tap * 2 + (input % 2)) * 3 + output] : 0);
  }
  const collected = memory.take(4 * weights.length);
  kernels.collectGroups(expanded, 2, 3, 2, 1, collected, 8, 4);
  expect(memory.readFloats(collected, weights.length)).toEqual(weights);
});

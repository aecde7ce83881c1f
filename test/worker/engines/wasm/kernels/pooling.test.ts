// Max and average pooling over windows, compared with loops that follow the definition.
import { describe, expect, test } from 'vitest';
import { KernelMemory } from '../kernel-memory.js';
import { maxError, randomValues } from '../samples.js';
import { Images, randomImages } from './images.js';

interface Case {
  name: string;
  size: [number, number];
  window: [number, number];
  strides: [number, number];
  before: [number, number];
  output: [number, number];
  isGlobal?: boolean;
}

const cases: Case[] = [
  { name: '2×2, stride 2', size: [8, 6], window: [2, 2], strides: [2, 2], before: [0, 0], output: [4, 3] },
  { name: '3×3, stride 2, padded', size: [7, 9], window: [3, 3], strides: [2, 2], before: [1, 1], output: [4, 5] },
  { name: '3×2, stride 1', size: [5, 5], window: [3, 2], strides: [1, 1], before: [1, 0], output: [5, 5] },
  { name: 'global', size: [5, 7], window: [5, 7], strides: [1, 1], before: [0, 0], output: [1, 1], isGlobal: true },
];
const channels = 10;
const count = 4;

describe.each(cases)('pooling: $name', ({ size, window, strides, before, output, isGlobal = false }) => {
  const memory = new KernelMemory();
  const { kernels } = memory;
  const inputShape = { count, height: size[0], width: size[1], channels };
  const outputShape = { count, height: output[0], width: output[1], channels, border: isGlobal ? 0 : 1 };
  // Few distinct values, so that there are ties, and only negative ones, so that padding with zeros would show.
  const values = randomValues(count * size[0] * size[1] * channels, 1).map((value) => Math.floor(3 * value) - 4);
  const source = new Images(memory, inputShape, values);
  const windows = (images: Images) =>
    [images.origin, images.imageBytes, images.rowBytes, ...size, ...window, ...strides, ...before] as const;
  const perWindow = (images: Images) =>
    [images.origin, images.imageBytes, images.rowBytes, ...output, images.depth] as const;

  /** Calls `visit` with the index of each output of images 1 and 2 and the indices of its inputs in row-major order. */
  function eachWindow(visit: (output: number, inputs: number[]) => void): void {
    for (let image = 1; image < 3; image++) {
      for (let y = 0; y < output[0]; y++) {
        for (let x = 0; x < output[1]; x++) {
          for (let c = 0; c < channels; c++) {
            const inputs: number[] = [];
            for (let row = 0; row < window[0]; row++) {
              for (let column = 0; column < window[1]; column++) {
                const [fromY, fromX] = [y * strides[0] - before[0] + row, x * strides[1] - before[1] + column];
                if (fromY < 0 || fromX < 0 || fromY >= size[0] || fromX >= size[1]) continue;
                inputs.push(((image * size[0] + fromY) * size[1] + fromX) * channels + c);
              }
            }
            visit(((image * output[0] + y) * output[1] + x) * channels + c, inputs);
          }
        }
      }
    }
  }
  const average = (inputs: number[]) => inputs.reduce((sum, index) => sum + values[index], 0) / inputs.length;
  const largest = (inputs: number[]) => Math.max(...inputs.map((index) => values[index]));

  test('the largest values and the averages match', () => {
    const expected = { max: new Images(memory, outputShape).read(), average: new Images(memory, outputShape).read() };
    eachWindow((to, inputs) => {
      expected.max[to] = largest(inputs);
      expected.average[to] = average(inputs);
    });
    const [max, averages] = [new Images(memory, outputShape), new Images(memory, outputShape)];
    kernels.maxPool(...windows(source), ...perWindow(max), 1, 2);
    kernels.averagePool(...windows(source), ...perWindow(averages), 1, 2);
    expect(max.read()).toEqual(expected.max);
    expect(maxError(averages.read(), expected.average)).toBeLessThan(2e-7);
    expect(max.isPaddingZero() && averages.isPaddingZero()).toBe(true);
  });

  test.each([false, true])('the gradients match; they are added to existing values: %s', (adds) => {
    const gradient = randomImages(memory, outputShape, 2);
    const gradients = gradient.read();
    const existing = randomValues(values.length, 3);
    const [forMax, forAverage] = [existing, existing].map((before) => {
      const expected = Float64Array.from(before);
      const perImage = values.length / count;
      return adds ? expected : expected.fill(0, perImage, 3 * perImage);
    });
    eachWindow((to, inputs) => {
      forMax[inputs.find((index) => values[index] === largest(inputs))!] += gradients[to];
      for (const index of inputs) forAverage[index] += gradients[to] / inputs.length;
    });
    const target = new Images(memory, inputShape, existing);
    kernels.maxPoolGradient(...windows(source), ...perWindow(gradient), target.origin, adds, 1, 2);
    expect(maxError(target.read(), forMax)).toBeLessThan(3e-7);
    expect(target.isPaddingZero()).toBe(true);
    target.write(existing);
    kernels.averagePoolGradient(...windows(target), ...perWindow(gradient), adds, 1, 2);
    expect(maxError(target.read(), forAverage)).toBeLessThan(3e-7);
    expect(target.isPaddingZero()).toBe(true);
  });
});

// Winograd kernels with different numbers of input and output channels and any image size, compared with float64 loops.
import { describe, expect, test } from 'vitest';
import { KernelMemory } from '../kernel-memory.js';
import { maxError, randomValues } from '../samples.js';
import { Images, randomImages } from './images.js';

describe.each([
  { inputs: 4, outputs: 8, height: 8, width: 8, count: 4 },
  { inputs: 24, outputs: 12, height: 7, width: 7, count: 5 },
  { inputs: 8, outputs: 20, height: 14, width: 9, count: 4 },
  { inputs: 136, outputs: 4, height: 5, width: 6, count: 4 },
  { inputs: 12, outputs: 12, height: 1, width: 3, count: 9 },
])('Winograd kernels: $inputs to $outputs channels, $height × $width', ({ inputs, outputs, height, width, count }) => {
  const memory = new KernelMemory();
  const { kernels } = memory;
  const columns = 4 * Math.ceil(width / 4) + 2;
  const scratch = memory.take(72 * (2048 * 4 + 64) + 2 * 96 * columns);
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

  /** Calls `visit` with the indices of an input, a weight and an output, for images 1 to count - 2. */
  function eachProduct(visit: (input: number, weight: number, output: number) => void): void {
    for (let image = 1; image < count - 1; image++) {
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

  test.each([false, true])('the forward pass with a bias matches; added to existing values: %s', (adds) => {
    const existing = randomValues(gValues.length, 5);
    const target = new Images(memory, g.shape, existing);
    const perImage = height * width * outputs;
    const expected = Float64Array.from(existing, (value, i) => {
      const isInRange = i >= perImage && i < (count - 1) * perImage;
      return isInRange ? bias[i % outputs] + (adds ? value : 0) : value;
    });
    eachProduct((input, weight, output) => (expected[output] += xValues[input] * kernel[weight]));
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
    eachProduct((input, weight, output) => (expected[input] += gValues[output] * kernel[weight]));
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
    eachProduct((input, weight, output) => (expected[weight] += xValues[input] * gValues[output]));
    expect(maxError(memory.readFloats(target, kernel.length), expected)).toBeLessThan(3e-5);
  });
});

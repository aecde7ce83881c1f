// Direct and depthwise convolutions with any kernel, stride and padding, compared with float64 loops.
import { describe, expect, test } from 'vitest';
import { KernelMemory } from '../kernel-memory.js';
import { maxError, randomValues } from '../samples.js';
import { Images, randomImages } from './images.js';

interface Case {
  name: string;
  kernel: [number, number];
  strides: [number, number];
  /** Padding before the first row and column. */
  before: [number, number];
  size: [number, number];
  output: [number, number];
  /** Numbers of input and output channels of the direct convolution. */
  channels?: [number, number];
}

const cases: Case[] = [
  { name: '3×3', kernel: [3, 3], strides: [1, 1], before: [1, 1], size: [6, 9], output: [6, 9] },
  { name: '3×3, stride 2', kernel: [3, 3], strides: [2, 2], before: [0, 0], size: [8, 6], output: [4, 3] },
  { name: '5×5', kernel: [5, 5], strides: [1, 1], before: [2, 2], size: [6, 6], output: [6, 6] },
  { name: '7×7, stride 2', kernel: [7, 7], strides: [2, 2], before: [2, 2], size: [10, 10], output: [5, 5] },
  { name: '2×2 without padding', kernel: [2, 2], strides: [1, 1], before: [0, 0], size: [7, 5], output: [6, 4] },
  { name: '1×7', kernel: [1, 7], strides: [1, 1], before: [0, 3], size: [4, 9], output: [4, 9] },
  { name: '4×4, stride 4', kernel: [4, 4], strides: [4, 4], before: [0, 0], size: [8, 8], output: [2, 2] },
  { name: '3×3, strides 2 and 1', kernel: [3, 3], strides: [2, 1], before: [1, 1], size: [5, 5], output: [3, 5] },
  { name: '1×1, stride 2', kernel: [1, 1], strides: [2, 2], before: [0, 0], size: [8, 6], output: [4, 3] },
];
/** With as many channels as in ResNets, at the sizes of images for which the kernels have blocks of rows and columns. */
const wideCases: Case[] = [
  {
    name: '3×3, 3 to 16 channels',
    kernel: [3, 3],
    strides: [1, 1],
    before: [1, 1],
    size: [32, 32],
    output: [32, 32],
    channels: [3, 16],
  },
  {
    name: '3×3, 12 to 12 channels',
    kernel: [3, 3],
    strides: [1, 1],
    before: [1, 1],
    size: [8, 8],
    output: [8, 8],
    channels: [12, 12],
  },
  {
    name: '3×3, 4 to 8 channels, stride 2',
    kernel: [3, 3],
    strides: [2, 2],
    before: [0, 0],
    size: [32, 32],
    output: [16, 16],
    channels: [4, 8],
  },
  {
    name: '3×3, 24 to 48 channels, stride 2',
    kernel: [3, 3],
    strides: [2, 2],
    before: [0, 0],
    size: [16, 16],
    output: [8, 8],
    channels: [24, 48],
  },
  {
    name: '1×1, 4 to 8 channels, stride 2',
    kernel: [1, 1],
    strides: [2, 2],
    before: [0, 0],
    size: [32, 32],
    output: [16, 16],
    channels: [4, 8],
  },
  {
    name: '1×1, 12 to 24 channels, stride 2',
    kernel: [1, 1],
    strides: [2, 2],
    before: [0, 0],
    size: [16, 16],
    output: [8, 8],
    channels: [12, 24],
  },
];
/** Wide enough for all kernels. */
const border = 3;
const count = 4;

/** Memory with random images, a random gradient and the taps of a convolution. */
function setUp({ kernel, strides, before, size, output }: Case, inputs: number, outputs: number) {
  const memory = new KernelMemory();
  const input = randomImages(memory, { count, height: size[0], width: size[1], channels: inputs, border }, 1);
  const gradient = randomImages(memory, { count, height: output[0], width: output[1], channels: outputs, border }, 2);
  const tapCount = kernel[0] * kernel[1];
  const taps = Array.from({ length: tapCount }, (_, tap) => ({
    tap,
    row: Math.floor(tap / kernel[1]),
    column: tap % kernel[1],
  }));
  const offsets = memory.words(
    taps.map(({ row, column }) => (row - before[0]) * input.rowBytes + (column - before[1]) * input.pixelBytes),
  );
  const [address, imageBytes, rowBytes, pixelBytes] = input.strides();
  const source = [address, imageBytes, strides[0] * rowBytes, strides[1] * pixelBytes] as const;
  /**
   * Calls `run` for each phase, a residue of the input pixels modulo the strides, with the taps that contribute to its
   * input gradient, their offsets in the gradient, and the phase's pixels in the target.
   */
  function eachPhase(
    target: Images,
    run: (numbers: number[], offsets: number, at: readonly [number, number, number, number], extent: number[]) => void,
  ): void {
    for (let phase = 0; phase < strides[0] * strides[1]; phase++) {
      const [row, column] = [Math.floor(phase / strides[1]), phase % strides[1]];
      const own = taps
        .map((tap) => ({
          number: tap.tap,
          y: (row + before[0] - tap.row) / strides[0],
          x: (column + before[1] - tap.column) / strides[1],
        }))
        .filter(({ y, x }) => Number.isInteger(y) && Number.isInteger(x));
      if (own.length === 0) continue;
      const at = memory.words(own.map(({ y, x }) => y * gradient.rowBytes + x * gradient.pixelBytes));
      const [origin, ofImage, ofRow, ofPixel] = target.strides(1, row, column);
      const numbers = own.map(({ number }) => number);
      const extent = [Math.ceil((size[0] - row) / strides[0]), Math.ceil((size[1] - column) / strides[1])];
      run(numbers, at, [origin, ofImage, strides[0] * ofRow, strides[1] * ofPixel], extent);
    }
  }
  /** Calls `visit` with an input pixel of images 1 and 2, a tap and an output pixel, as indices. */
  function eachProduct(visit: (input: number, tap: number, output: number) => void): void {
    for (let image = 1; image < 3; image++) {
      for (let y = 0; y < output[0]; y++) {
        for (let x = 0; x < output[1]; x++) {
          for (const { tap, row, column } of taps) {
            const [fromY, fromX] = [y * strides[0] + row - before[0], x * strides[1] + column - before[1]];
            if (fromY < 0 || fromX < 0 || fromY >= size[0] || fromX >= size[1]) continue;
            visit((image * size[0] + fromY) * size[1] + fromX, tap, (image * output[0] + y) * output[1] + x);
          }
        }
      }
    }
  }
  return { memory, kernels: memory.kernels, input, gradient, tapCount, offsets, source, eachPhase, eachProduct };
}

describe.each([...cases, ...wideCases])('direct convolution: $name', (shape) => {
  const [inputs, outputs] = shape.channels ?? [3, 14];
  const setup = setUp(shape, inputs, outputs);
  const { memory, kernels, input, gradient, tapCount, offsets, source, eachPhase, eachProduct } = setup;
  const kernel = randomValues(tapCount * inputs * outputs, 3);
  const [depth, width] = [input.depth, gradient.depth];
  // [tap][input][output] with padding in both
  const padded = memory.take(4 * tapCount * depth * width);
  kernels.padWeights(memory.floats(kernel), tapCount, inputs, outputs, padded, depth, width);
  const [x, g] = [input.read(), gradient.read()];
  const [rows, columns] = shape.output;

  test('the forward pass with a bias matches', () => {
    const bias = randomValues(16, 4).fill(0, outputs);
    const elements = memory.words(Array.from({ length: tapCount }, (_, tap) => tap * depth * width));
    const weights = memory.take(4 * tapCount * depth * width);
    kernels.packWeights(padded, elements, tapCount, depth, depth, width, width, 1, weights);
    const target = new Images(memory, { ...gradient.shape });
    const expected = Float64Array.from(g, (_, i) => {
      const isInRange = i >= g.length / 4 && i < (3 * g.length) / 4;
      return isInRange ? bias[i % outputs] : 0;
    });
    eachProduct((from, tap, to) => {
      for (let i = 0; i < inputs; i++) {
        for (let o = 0; o < outputs; o++) {
          expected[to * outputs + o] += x[from * inputs + i] * kernel[(tap * inputs + i) * outputs + o];
        }
      }
    });
    kernels.convolve(
      ...source,
      ...([depth, offsets, tapCount, weights, memory.floats(bias), false] as const),
      ...target.strides(),
      ...([width, rows, columns, 1, 2] as const),
    );
    expect(maxError(target.read(), expected)).toBeLessThan(1e-6);
    expect(target.isPaddingZero()).toBe(true);
  });

  test('the input gradient, phase by phase, added to existing values, matches', () => {
    const existing = randomValues(x.length, 5);
    const target = new Images(memory, input.shape, existing);
    const expected = Float64Array.from(existing);
    eachProduct((from, tap, to) => {
      for (let i = 0; i < inputs; i++) {
        for (let o = 0; o < outputs; o++) {
          expected[from * inputs + i] += g[to * outputs + o] * kernel[(tap * inputs + i) * outputs + o];
        }
      }
    });
    eachPhase(target, (numbers, at, strides, extent) => {
      const elements = memory.words(numbers.map((tap) => tap * depth * width));
      const weights = memory.take(4 * numbers.length * depth * width);
      kernels.packWeights(padded, elements, numbers.length, width, width, 1, depth, width, weights);
      kernels.convolve(
        ...gradient.strides(),
        ...([width, at, numbers.length, weights, 0, true] as const),
        ...strides,
        ...([depth, extent[0], extent[1], 1, 2] as const),
      );
    });
    expect(maxError(target.read(), expected)).toBeLessThan(1e-6);
    expect(target.isPaddingZero()).toBe(true);
  });

  test('the filter gradient from two partial sums matches', () => {
    const partialBytes = 4 * tapCount * depth * width;
    const sums = memory.take(2 * partialBytes);
    const run = (first: number, at: number) =>
      kernels.filterGradient(
        ...source,
        ...([depth, offsets, tapCount] as const),
        ...gradient.strides(),
        ...([width, rows, columns, first, 1, at, false] as const),
      );
    run(1, sums);
    run(2, sums + partialBytes);
    const target = memory.take(partialBytes);
    kernels.filterGradientEnd(sums, 2, partialBytes, tapCount, depth, inputs, width, target);
    const result = memory.take(4 * kernel.length);
    kernels.addPartialSums(target, 1, 0, 1, tapCount * inputs, outputs, result, tapCount * inputs, width);
    const expected = new Float64Array(kernel.length);
    eachProduct((from, tap, to) => {
      for (let i = 0; i < inputs; i++) {
        for (let o = 0; o < outputs; o++) {
          expected[(tap * inputs + i) * outputs + o] += x[from * inputs + i] * g[to * outputs + o];
        }
      }
    });
    expect(maxError(memory.readFloats(result, kernel.length), expected)).toBeLessThan(2e-6);
  });

  test('the bias gradient over blocks of images matches', () => {
    const sums = memory.take(4 * width);
    kernels.biasGradient(gradient.origin, sums, 0, width, ...gradient.grid(1, 2));
    const expected = new Float64Array(outputs);
    for (let i = g.length / 4; i < (3 * g.length) / 4; i++) expected[i % outputs] += g[i];
    expect(maxError(memory.readFloats(sums, outputs), expected)).toBeLessThan(1e-5);
  });
});

test('a grouped convolution, group by group, matches, and so does its filter gradient', () => {
  const [groups, ofGroup, outputsOfGroup] = [3, 4, 8];
  const [inputs, outputs] = [groups * ofGroup, groups * outputsOfGroup];
  const setup = setUp(cases[0], inputs, outputs);
  const { memory, kernels, input, gradient, tapCount, offsets, source, eachProduct } = setup;
  // [tap][input of the group][output]
  const kernel = randomValues(tapCount * ofGroup * outputs, 3);
  const kernelAt = memory.floats(kernel);
  const [x, g] = [input.read(), gradient.read()];
  const [rows, columns] = cases[0].output;
  const target = new Images(memory, gradient.shape);
  const expected = new Float64Array(g.length);
  const expectedGradient = new Float64Array(kernel.length);
  eachProduct((from, tap, to) => {
    for (let o = 0; o < outputs; o++) {
      const group = Math.floor(o / outputsOfGroup);
      for (let i = 0; i < ofGroup; i++) {
        const [value, weight] = [x[from * inputs + group * ofGroup + i], (tap * ofGroup + i) * outputs + o];
        expected[to * outputs + o] += value * kernel[weight];
        expectedGradient[weight] += value * g[to * outputs + o];
      }
    }
  });
  const kernelGradient = new Float32Array(kernel.length);
  for (let group = 0; group < groups; group++) {
    const firstOutput = group * outputsOfGroup;
    const elements = memory.words(Array.from({ length: tapCount }, (_, tap) => tap * ofGroup * outputs + firstOutput));
    const size = tapCount * ofGroup * outputsOfGroup;
    const [weights, sums, own] = [memory.take(4 * size), memory.take(4 * size), memory.take(4 * size)];
    kernels.packWeights(kernelAt, elements, tapCount, ofGroup, ofGroup, outputs, outputsOfGroup, 1, weights);
    const [at, ...layout] = source;
    const [to, ...targetLayout] = target.strides();
    const from = [at + 4 * group * ofGroup, ...layout, ofGroup, offsets, tapCount] as const;
    kernels.convolve(
      ...from,
      ...([weights, 0, false, to + 4 * firstOutput, ...targetLayout] as const),
      ...([outputsOfGroup, rows, columns, 1, 2] as const),
    );
    kernels.filterGradient(
      ...from,
      ...([gradient.origin + 4 * firstOutput, ...targetLayout] as const),
      ...([outputsOfGroup, rows, columns, 1, 2, sums, false] as const),
    );
    kernels.filterGradientEnd(sums, 1, 0, tapCount, ofGroup, ofGroup, outputsOfGroup, own);
    for (const [i, value] of memory.readFloats(own, size).entries()) {
      const [row, output] = [Math.floor(i / outputsOfGroup), i % outputsOfGroup];
      kernelGradient[row * outputs + firstOutput + output] = value;
    }
  }
  expect(maxError(target.read(), expected)).toBeLessThan(1e-6);
  expect(maxError(kernelGradient, expectedGradient)).toBeLessThan(2e-6);
});

describe.each(cases)('depthwise convolution: $name', (shape) => {
  const channels = 22;
  const setup = setUp(shape, channels, channels);
  const { memory, kernels, input, gradient, tapCount, offsets, source, eachPhase, eachProduct } = setup;
  const { depth } = input;
  const kernel = randomValues(tapCount * channels, 3);
  const padded = memory.take(4 * tapCount * depth);
  kernels.padWeights(memory.floats(kernel), 1, tapCount, channels, padded, tapCount, depth);
  const [x, g] = [input.read(), gradient.read()];
  const [rows, columns] = shape.output;

  test('the forward pass with a bias matches', () => {
    const bias = randomValues(depth, 4).fill(0, channels);
    const target = new Images(memory, gradient.shape);
    const expected = Float64Array.from(g, (_, i) => {
      const isInRange = i >= g.length / 4 && i < (3 * g.length) / 4;
      return isInRange ? bias[i % channels] : 0;
    });
    eachProduct((from, tap, to) => {
      for (let c = 0; c < channels; c++) {
        expected[to * channels + c] += x[from * channels + c] * kernel[tap * channels + c];
      }
    });
    kernels.convolveDepthwise(
      ...source,
      ...([depth, offsets, tapCount, padded, memory.floats(bias), false] as const),
      ...target.strides(),
      ...([rows, columns, 1, 2] as const),
    );
    expect(maxError(target.read(), expected)).toBeLessThan(1e-6);
    expect(target.isPaddingZero()).toBe(true);
  });

  test('the input gradient, phase by phase, added to existing values, matches', () => {
    const existing = randomValues(x.length, 5);
    const target = new Images(memory, input.shape, existing);
    const expected = Float64Array.from(existing);
    eachProduct((from, tap, to) => {
      for (let c = 0; c < channels; c++) {
        expected[from * channels + c] += g[to * channels + c] * kernel[tap * channels + c];
      }
    });
    eachPhase(target, (numbers, at, strides, extent) => {
      const weights = numbers.flatMap((tap) => [...memory.readFloats(padded + 4 * tap * depth, depth)]);
      kernels.convolveDepthwise(
        ...gradient.strides(),
        ...([depth, at, numbers.length, memory.floats(weights), 0, true] as const),
        ...strides,
        ...([extent[0], extent[1], 1, 2] as const),
      );
    });
    expect(maxError(target.read(), expected)).toBeLessThan(1e-6);
    expect(target.isPaddingZero()).toBe(true);
  });

  test('the filter gradient from two partial sums matches', () => {
    const partialBytes = 4 * tapCount * depth;
    const sums = memory.take(2 * partialBytes);
    const run = (first: number, at: number) =>
      kernels.depthwiseFilterGradient(
        ...source,
        ...([depth, offsets, tapCount] as const),
        ...gradient.strides(),
        ...([rows, columns, first, 1, at, false] as const),
      );
    run(1, sums);
    run(2, sums + partialBytes);
    const target = memory.take(4 * kernel.length);
    kernels.addPartialSums(sums, 2, partialBytes, 1, tapCount, channels, target, tapCount, depth);
    const expected = new Float64Array(kernel.length);
    eachProduct((from, tap, to) => {
      for (let c = 0; c < channels; c++) {
        expected[tap * channels + c] += x[from * channels + c] * g[to * channels + c];
      }
    });
    expect(maxError(memory.readFloats(target, kernel.length), expected)).toBeLessThan(2e-6);
  });
});

import { describe, expect, it } from 'vitest';
import { cifar10Format } from '../../../shared/dataset/cifar10-layout.js';
import { arrayOf, layoutModel, type ModelSpec } from '../../../shared/network/layout.js';

const resnet20: ModelSpec = {
  depth: 20,
  initialFilters: 16,
  shortcut: 'identity',
  convBias: false,
  bnEpsilon: 0.001,
};

describe('ResNet-20', () => {
  // Stem: 3×3×3×16 + 2×16 = 464. Group 1: 6 × (9×16×16 + 2×16) = 14,016. Group 2: 9×16×32 + 5 × 9×32×32 + 6 × 2×32 =
  // 51,072. Group 3: 9×32×64 + 5 × 9×64×64 + 6 × 2×64 = 203,520. Dense: 64×10 + 10 = 650.
  it('has 269,722 weights without convolution biases', () => {
    expect(layoutModel(resnet20, cifar10Format).weightsSize).toBe(464 + 14_016 + 51_072 + 203_520 + 650);
    expect(layoutModel(resnet20, cifar10Format).weightsSize).toBe(269_722);
  });

  it('has 688 more with convolution biases', () => {
    // One bias per filter: 7 × 16 + 6 × 32 + 6 × 64 = 688.
    const layout = layoutModel({ ...resnet20, convBias: true }, cifar10Format);
    expect(layout.weightsSize - 269_722).toBe(7 * 16 + 6 * 32 + 6 * 64);
    expect(layout.weightsSize - 269_722).toBe(688);
  });

  it('has a mean and a variance for each channel of its 19 batch norms', () => {
    expect(layoutModel(resnet20, cifar10Format).statisticsSize).toBe(2 * 688);
  });

  it('has 2,560 more weights with projections', () => {
    // Two 1×1 convolutions: 16 × 32 + 32 × 64 = 512 + 2,048 = 2,560.
    expect(layoutModel({ ...resnet20, shortcut: 'projection' }, cifar10Format).weightsSize - 269_722).toBe(2560);
    // The projections also have 32 + 64 biases.
    const withBias = layoutModel({ ...resnet20, shortcut: 'projection', convBias: true }, cifar10Format);
    expect(withBias.weightsSize - 269_722 - 688).toBe(2560 + 96);
  });

  it('downsamples and doubles the channels in the first block of groups 2 and 3', () => {
    const { blocks } = layoutModel({ ...resnet20, shortcut: 'projection' }, cifar10Format);
    expect(blocks.map((block) => block.name)).toEqual(
      [1, 2, 3].flatMap((group) => [1, 2, 3].map((index) => `group${group}/block${index}`)),
    );
    expect(blocks.filter((block) => block.projection !== null).map((block) => block.name)).toEqual([
      'group2/block1',
      'group3/block1',
    ]);
    expect(blocks[3]).toMatchObject({
      conv1: { kernelSize: 3, inputChannels: 16, outputChannels: 32, stride: 2, inputSize: 32, outputSize: 16 },
      conv2: { kernelSize: 3, inputChannels: 32, outputChannels: 32, stride: 1, inputSize: 16, outputSize: 16 },
      projection: { kernelSize: 1, inputChannels: 16, outputChannels: 32, stride: 2, inputSize: 32, outputSize: 16 },
    });
    expect(blocks[8].conv2).toMatchObject({ inputChannels: 64, outputChannels: 64, stride: 1, outputSize: 8 });
  });
});

describe('layoutModel', () => {
  // Each additional block per group adds 2 × (2,304 + 32) + 2 × (9,216 + 64) + 2 × (36,864 + 128) = 97,216 weights.
  it.each([
    [32, 464_154],
    [44, 658_586],
    [56, 853_018],
    [110, 1_727_962],
  ])('for depth %i has %i weights without convolution biases', (depth, weights) => {
    expect(layoutModel({ ...resnet20, depth }, cifar10Format).weightsSize).toBe(weights);
    expect(weights).toBe(269_722 + ((depth - 20) / 6) * 97_216);
  });

  it.each([
    ['identity', true],
    ['identity', false],
    ['projection', true],
    ['projection', false],
  ] as const)('with %s shortcuts and biases: %s has contiguous arrays', (shortcut, convBias) => {
    const layout = layoutModel({ ...resnet20, shortcut, convBias }, cifar10Format);
    for (const [arrays, total] of [
      [layout.weights, layout.weightsSize],
      [layout.statistics, layout.statisticsSize],
    ] as const) {
      let next = 0;
      for (const { name, shape, offset, size } of arrays) {
        const extent = shape.reduce((product, axis) => product * axis, 1);
        expect([name, offset, size]).toEqual([name, next, extent]);
        next += size;
      }
      expect(next).toBe(total);
      expect(new Set(arrays.map((array) => array.name)).size).toBe(arrays.length);
    }
  });

  it('supports networks as small as depth 8 with 4 filters', () => {
    // Stem: 9×3×4 + 8 = 116. Groups: 2 × (144 + 8) = 304, 288 + 576 + 2 × 16 = 896, and 1,152 + 2,304 + 2 × 32 = 3,520.
    // Dense: 16×10 + 10 = 170.
    const layout = layoutModel({ ...resnet20, depth: 8, initialFilters: 4 }, cifar10Format);
    expect(layout.weightsSize).toBe(116 + 304 + 896 + 3520 + 170);
  });

  it('takes images of other sizes, channels and classes', () => {
    // 25 pixels become 13 with stride 2, and 7 with the next.
    const layout = layoutModel(resnet20, { height: 25, width: 25, channels: 1, classCount: 300 });
    expect(layout.stem.conv.kernel.shape).toEqual([3, 3, 1, 16]);
    expect(layout.blocks.filter((_, index) => index % 3 === 0).map(({ conv1 }) => conv1.outputSize)).toEqual([
      25, 13, 7,
    ]);
    expect(layout.dense.kernel.shape).toEqual([64, 300]);
  });

  it.each([
    [16, 24],
    [7, 7],
  ])('rejects images of %i×%i pixels', (width, height) => {
    const data = { ...cifar10Format, width, height };
    expect(() => layoutModel(resnet20, data)).toThrow(
      expect.objectContaining({ code: 'bad-data', message: expect.stringContaining(`${width}×${height} pixels`) }),
    );
  });

  it.each([2, 9, 21, 8.5, 14.0001, -4])('rejects depth %d', (depth) => {
    expect(() => layoutModel({ ...resnet20, depth }, cifar10Format)).toThrow(
      expect.objectContaining({ code: 'bad-config', message: expect.stringContaining(`depth is ${depth}`) }),
    );
  });

  it.each([6, 0, 2, 4.5])('rejects %d initial filters', (initialFilters) => {
    expect(() => layoutModel({ ...resnet20, initialFilters }, cifar10Format)).toThrow(
      expect.objectContaining({
        code: 'bad-config',
        message: expect.stringContaining(`initialFilters is ${initialFilters}: it must be a positive multiple of 4`),
      }),
    );
  });
});

describe('arrayOf', () => {
  it('returns a view of the vector, not a copy', () => {
    const vector = Float32Array.of(0, 1, 2, 3, 4);
    const view = arrayOf(vector, { name: 'a', shape: [2], offset: 3, size: 2 });
    vector[3] = 7;
    expect([...view]).toEqual([7, 4]);
  });
});

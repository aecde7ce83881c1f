import { describe, expect, it } from 'vitest';
import { parseGraph } from '../../../shared/network/graph-schema.js';
import { cifar10Format } from '../../../shared/dataset/cifar10-layout.js';
import { arrayOf, assertTrainable, layoutNetwork, type ModelLayout } from '../../../shared/network/layout.js';
import type { ResnetOptions } from '../../../shared/network/networks/resnet.js';
import { resnetLayout } from '../../support/resnet-layout.js';

const resnet20: ResnetOptions = {
  depth: 20,
  initialFilters: 16,
  shortcut: 'identity',
  convBias: false,
  bnEpsilon: 0.001,
};

/** Lists the convolutions by name. */
function convolutionsOf({ layers }: ModelLayout) {
  return layers.flatMap((layer) => {
    if (layer.op !== 'conv2d') return [];
    const { name, kernel, strides, inputShapes, shape } = layer;
    return [[name, { kernel: kernel.shape, strides, input: inputShapes[0], output: shape }] as const];
  });
}

describe('ResNet-20', () => {
  // Stem: 3×3×3×16 + 2×16 = 464. Group 1: 6 × (9×16×16 + 2×16) = 14,016. Group 2: 9×16×32 + 5 × 9×32×32 + 6 × 2×32 =
  // 51,072. Group 3: 9×32×64 + 5 × 9×64×64 + 6 × 2×64 = 203,520. Dense: 64×10 + 10 = 650.
  it('has 269,722 weights without convolution biases', () => {
    expect(resnetLayout(resnet20).weightsSize).toBe(464 + 14_016 + 51_072 + 203_520 + 650);
    expect(resnetLayout(resnet20).weightsSize).toBe(269_722);
  });

  it('has 688 more with convolution biases', () => {
    // One bias per filter: 7 × 16 + 6 × 32 + 6 × 64 = 688.
    const layout = resnetLayout({ ...resnet20, convBias: true });
    expect(layout.weightsSize - 269_722).toBe(7 * 16 + 6 * 32 + 6 * 64);
    expect(layout.weightsSize - 269_722).toBe(688);
  });

  it('has a mean and a variance for each channel of its 19 batch norms', () => {
    expect(resnetLayout(resnet20).statisticsSize).toBe(2 * 688);
  });

  it('has 2,560 more weights with projections', () => {
    // Two 1×1 convolutions: 16 × 32 + 32 × 64 = 512 + 2,048 = 2,560.
    expect(resnetLayout({ ...resnet20, shortcut: 'projection' }).weightsSize - 269_722).toBe(2560);
    // The projections also have 32 + 64 biases.
    const withBias = resnetLayout({ ...resnet20, shortcut: 'projection', convBias: true });
    expect(withBias.weightsSize - 269_722 - 688).toBe(2560 + 96);
  });

  it('downsamples and doubles the channels in the first block of groups 2 and 3', () => {
    const convolutions = new Map(convolutionsOf(resnetLayout({ ...resnet20, shortcut: 'projection' })));
    const blocks = [1, 2, 3].flatMap((group) => [1, 2, 3].map((index) => `group${group}/block${index}`));
    expect([...convolutions.keys()]).toEqual([
      'stem/conv',
      ...blocks.flatMap((name) => {
        const isNarrower = name === 'group2/block1' || name === 'group3/block1';
        return [`${name}/conv1`, `${name}/conv2`, ...(isNarrower ? [`${name}/projection`] : [])];
      }),
    ]);
    const first = { strides: [2, 2], input: [32, 32, 16], output: [16, 16, 32] };
    expect(convolutions.get('group2/block1/conv1')).toEqual({ ...first, kernel: [3, 3, 16, 32] });
    expect(convolutions.get('group2/block1/projection')).toEqual({ ...first, kernel: [1, 1, 16, 32] });
    const second = { kernel: [3, 3, 32, 32], strides: [1, 1], input: [16, 16, 32], output: [16, 16, 32] };
    expect(convolutions.get('group2/block1/conv2')).toEqual(second);
    const last = { kernel: [3, 3, 64, 64], strides: [1, 1], input: [8, 8, 64], output: [8, 8, 64] };
    expect(convolutions.get('group3/block3/conv2')).toEqual(last);
  });
});

describe('the layout of a ResNet', () => {
  // Each additional block per group adds 2 × (2,304 + 32) + 2 × (9,216 + 64) + 2 × (36,864 + 128) = 97,216 weights.
  it.each([
    [32, 464_154],
    [44, 658_586],
    [56, 853_018],
    [110, 1_727_962],
  ])('for depth %i has %i weights without convolution biases', (depth, weights) => {
    expect(resnetLayout({ ...resnet20, depth }).weightsSize).toBe(weights);
    expect(weights).toBe(269_722 + ((depth - 20) / 6) * 97_216);
  });

  it.each([
    ['identity', true],
    ['identity', false],
    ['projection', true],
    ['projection', false],
  ] as const)('with %s shortcuts and biases: %s has contiguous arrays', (shortcut, convBias) => {
    const layout = resnetLayout({ ...resnet20, shortcut, convBias });
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
    const layout = resnetLayout({ ...resnet20, depth: 8, initialFilters: 4 });
    expect(layout.weightsSize).toBe(116 + 304 + 896 + 3520 + 170);
  });

  it('takes images of other sizes, channels and classes', () => {
    // 25 pixels become 13 with stride 2, and 7 with the next.
    const layout = resnetLayout(resnet20, { height: 25, width: 25, channels: 1, classCount: 300 });
    const convolutions = new Map(convolutionsOf(layout));
    expect(convolutions.get('stem/conv')!.kernel).toEqual([3, 3, 1, 16]);
    expect([1, 2, 3].map((group) => convolutions.get(`group${group}/block1/conv1`)!.output)).toEqual([
      [25, 25, 16],
      [13, 13, 32],
      [7, 7, 64],
    ]);
    expect(layout.weights.find(({ name }) => name === 'dense/kernel')!.shape).toEqual([64, 300]);
  });

  it('takes images that are not square, and images as small as one pixel', () => {
    const wide = new Map(convolutionsOf(resnetLayout(resnet20, { ...cifar10Format, height: 16, width: 26 })));
    expect(wide.get('group3/block3/conv2')!.output).toEqual([4, 7, 64]);
    const small = new Map(convolutionsOf(resnetLayout(resnet20, { ...cifar10Format, height: 1, width: 1 })));
    expect(small.get('group3/block3/conv2')!.output).toEqual([1, 1, 64]);
  });

  it.each([2, 9, 21, 8.5, 14.0001, -4])('rejects depth %d', (depth) => {
    expect(() => resnetLayout({ ...resnet20, depth })).toThrow(
      expect.objectContaining({ code: 'bad-config', message: expect.stringContaining(`depth is ${depth}`) }),
    );
  });

  it.each([6, 0, 2, 4.5])('rejects %d initial filters', (initialFilters) => {
    expect(() => resnetLayout({ ...resnet20, initialFilters })).toThrow(
      expect.objectContaining({
        code: 'bad-config',
        message: expect.stringContaining(`initialFilters is ${initialFilters}: it must be a positive multiple of 4`),
      }),
    );
  });
});

it('a network without an array to train cannot be trained', () => {
  const frozen = parseGraph(
    {
      name: 'frozen',
      nodes: [
        { name: 'flat', op: 'flatten', inputs: ['input'] },
        {
          name: 'logits',
          op: 'dense',
          inputs: ['flat'],
          units: 'classes',
          bias: false,
          weights: { kernel: { trainable: false } },
        },
      ],
    },
    'the test',
  );
  const layout = layoutNetwork(frozen, { height: 4, width: 4, channels: 1, classCount: 2 });
  expect(() => assertTrainable(layout)).toThrow(
    'the network frozen has no array to train: leave at least one array that is not frozen',
  );
});

describe('arrayOf', () => {
  it('returns a view of the vector, not a copy', () => {
    const vector = Float32Array.of(0, 1, 2, 3, 4);
    const view = arrayOf(vector, { name: 'a', shape: [2], offset: 3, size: 2 });
    vector[3] = 7;
    expect([...view]).toEqual([7, 4]);
  });
});

import { describe, expect, it } from 'vitest';
import { summarizeModel } from '../../../inference/export/summary.js';
import { cifar10Format } from '../../../shared/dataset/cifar10-layout.js';
import { parseGraph } from '../../../shared/network/graph-schema.js';
import { layoutNetwork } from '../../../shared/network/layout.js';
import { resnet, type ResnetOptions } from '../../../shared/network/networks/resnet.js';
import { everyOperation } from '../../support/sample-graphs.js';

const summaryOf = (options: Partial<ResnetOptions>) =>
  summarizeModel(
    layoutNetwork(
      resnet({ depth: 20, initialFilters: 16, shortcut: 'identity', convBias: true, bnEpsilon: 0.001, ...options }),
      cifar10Format,
    ),
  );

describe('summarizeModel', () => {
  it.each<[string, Partial<ResnetOptions>, number, number]>([
    // 19 batch norms with 7 × 16 + 6 × 32 + 6 × 64 = 688 channels, each with a moving mean and a moving variance.
    ['ResNet-20 without convolution biases', { convBias: false }, 269_722, 1_376],
    ['ResNet-20 with convolution biases', {}, 269_722 + 688, 1_376],
    // The Keras tutorial reports 274,442 parameters in total for its ResNet20v1.
    ['ResNet-20 with projections', { shortcut: 'projection' }, 273_066, 274_442 - 273_066],
    // He et al. 2016, table 6: 1.7 million parameters. 109 batch norms with 37 × 16 + 36 × 32 + 36 × 64 = 4,048
    // channels.
    ['ResNet-110 without convolution biases', { depth: 110, convBias: false }, 1_727_962, 8_096],
  ])('counts the parameters of %s', (_name, spec, trainable, nonTrainable) => {
    const summary = summaryOf(spec);
    expect(summary).toMatchObject({
      totalParameters: trainable + nonTrainable,
      trainableParameters: trainable,
      nonTrainableParameters: nonTrainable,
    });
    expect(summary.layers.reduce((sum, { parameters }) => sum + parameters, 0)).toBe(trainable + nonTrainable);
  });

  it('lists the inputs of each layer: a shortcut skips two convolutions', () => {
    const { layers } = summaryOf({ shortcut: 'projection' });
    expect(layers.find(({ name }) => name === 'group2/block1/projection')).toEqual({
      name: 'group2/block1/projection',
      type: 'Conv2D',
      outputShape: [16, 16, 32],
      parameters: 16 * 32 + 32,
      frozen: [],
      connectedTo: ['group1/block3/relu2'],
    });
    expect(layers.find(({ name }) => name === 'group2/block1/add')?.connectedTo).toEqual([
      'group2/block1/bn2',
      'group2/block1/projection',
    ]);
    const names = new Set(layers.map(({ name }) => name));
    expect(names.size).toBe(layers.length);
    expect(layers.flatMap(({ connectedTo }) => connectedTo).filter((name) => !names.has(name))).toEqual([]);
  });

  it('counts frozen weights as non-trainable, in a network with every operation', () => {
    const layout = layoutNetwork(parseGraph(everyOperation, 'the test'), {
      height: 9,
      width: 9,
      channels: 3,
      classCount: 7,
    });
    const summary = summarizeModel(layout);
    // The layer `wide` has a frozen kernel of 5 × 5 × 3 × 8 weights.
    expect(summary).toMatchObject({
      model: 'every-operation',
      totalParameters: layout.weightsSize + layout.statisticsSize,
      trainableParameters: layout.weightsSize - 600,
      nonTrainableParameters: layout.statisticsSize + 600,
      frozenParameters: 600,
    });
    expect(summary.layers.reduce((sum, { parameters }) => sum + parameters, 0)).toBe(summary.totalParameters);
    expect(summary.layers.filter(({ frozen }) => frozen.length > 0)).toMatchObject([
      { name: 'wide', type: 'Conv2D', outputShape: [9, 9, 8], parameters: 608, frozen: ['kernel'] },
    ]);
    // 3 × 3 weights for each of 8 channels, and 8 biases; stride 2.
    expect(summary.layers.find(({ name }) => name === 'depthwise')).toMatchObject({
      type: 'DepthwiseConv2D',
      outputShape: [5, 5, 8],
      parameters: 80,
    });
  });
});

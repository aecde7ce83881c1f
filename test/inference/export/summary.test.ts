// The layers of a network as a person reads them; what they add up to is what others have counted.
import { describe, expect, it } from 'vitest';
import { describeSummary, describeTotals, summarizeModel } from '../../../inference/export/summary.js';
import { layoutModel, type ModelSpec } from '../../../shared/network/layout.js';
import { runCli } from '../../support/cli.js';

const summaryOf = (spec: Partial<ModelSpec>) =>
  summarizeModel(
    layoutModel({ depth: 20, initialFilters: 16, shortcut: 'identity', convBias: true, bnEpsilon: 0.001, ...spec }),
  );

describe('the totals', () => {
  it.each<[string, Partial<ModelSpec>, number, number]>([
    // 19 batch norms of 7 × 16 + 6 × 32 + 6 × 64 = 688 channels, a moving mean and a moving variance each.
    ['of ResNet-20 without convolution biases', { convBias: false }, 269_722, 1_376],
    ['of ResNet-20 with them', {}, 269_722 + 688, 1_376],
    // What the Keras tutorial's own summary prints for its ResNet20v1: 274,442 in all.
    ['of ResNet-20 with projections', { shortcut: 'projection' }, 273_066, 274_442 - 273_066],
    // The 1.7 million of He et al. 2016, table 6. 109 batch norms: 37 × 16 + 36 × 32 + 36 × 64 = 4,048 channels.
    ['of ResNet-110 without convolution biases', { depth: 110, convBias: false }, 1_727_962, 8_096],
  ])('%s', (_what, spec, trainable, nonTrainable) => {
    const summary = summaryOf(spec);
    expect(summary).toMatchObject({
      totalParameters: trainable + nonTrainable,
      trainableParameters: trainable,
      nonTrainableParameters: nonTrainable,
    });
    expect(summary.layers.reduce((sum, { parameters }) => sum + parameters, 0)).toBe(trainable + nonTrainable);
  });

  it('stand in one line too, with their size as float32', () => {
    // 270,410 × 4 = 1,081,640 bytes = 1.0315 × 1,024².
    expect(describeTotals(summaryOf({}))).toBe(
      'Total params: 271,786 (1.04 MB) · Trainable params: 270,410 (1.03 MB) · Non-trainable params: 1,376 (5.38 KB)',
    );
  });
});

describe('the layers', () => {
  it('say what they take: the shortcut goes around two convolutions', () => {
    const { layers } = summaryOf({ shortcut: 'projection' });
    expect(layers.find(({ name }) => name === 'group2/block1/projection')).toEqual({
      name: 'group2/block1/projection',
      type: 'Conv2D',
      outputShape: [16, 16, 32],
      parameters: 16 * 32 + 32,
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

  it('are lines of a table', () => {
    const lines = describeSummary(summaryOf({ depth: 8, initialFilters: 4 }));
    expect(lines.slice(0, 6)).toEqual([
      'Model: "resnet8"',
      'Layer (type)                            Output Shape       Param #  Connected to',
      expect.stringMatching(/^=+$/),
      'images (InputLayer)                     (None, 32, 32, 3)        0  -',
      'preprocessing (Normalization)           (None, 32, 32, 3)        0  images',
      'stem/conv (Conv2D)                      (None, 32, 32, 4)      112  preprocessing',
    ]);
    expect(lines).toContain('group2/block1/shortcut (ZeroPadding)    (None, 16, 16, 8)        0  group1/block1/relu2');
  });
});

describe('lockstep summary', () => {
  it('takes the options of the recipe, and prints JSON', async () => {
    const { status, output } = await runCli(['summary', '--depth', '110', '--recipe', 'paper', '--json']);
    expect(JSON.parse(output)).toMatchObject({ model: 'resnet110', trainableParameters: 1_727_962 });
    expect(status).toBe(0);
  });

  it('refuses options beside a checkpoint, which has its own', async () => {
    const { status, output } = await runCli(['summary', 'runs/first', '--depth', '32']);
    expect(output).toBe('lockstep: runs/first has a configuration of its own: leave out depth, or the checkpoint\n');
    expect(status).toBe(2);
  });
});

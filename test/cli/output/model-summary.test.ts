import { describe, expect, it } from 'vitest';
import { describeSummary, describeTotals } from '../../../cli/output/model-summary.js';
import { summarizeModel } from '../../../inference/export/summary.js';
import { cifar10Format } from '../../../shared/dataset/cifar10-layout.js';
import { parseGraph } from '../../../shared/network/graph-schema.js';
import { layoutNetwork } from '../../../shared/network/layout.js';
import { resnet } from '../../../shared/network/networks/resnet.js';
import { runCli } from '../../support/cli.js';

const summaryOf = (depth: number, initialFilters: number) =>
  summarizeModel(
    layoutNetwork(
      resnet({ depth, initialFilters, shortcut: 'identity', convBias: true, bnEpsilon: 0.001 }),
      cifar10Format,
    ),
  );

it('describeTotals returns the parameter counts in one line, with their size as float32', () => {
  // At 4 bytes per parameter: 271,786 take 1,087,144 bytes, 270,410 take 1,081,640 and 1,376 take 5,504.
  expect(describeTotals(summaryOf(20, 16))).toBe(
    'Total params: 271,786 (1.1 MB) · Trainable params: 270,410 (1.1 MB) · Non-trainable params: 1,376 (5.5 kB)',
  );
});

it('describeSummary returns a table of the layers', () => {
  const lines = describeSummary(summaryOf(8, 4));
  expect(lines.slice(0, 6)).toEqual([
    'Model: "resnet8"',
    'Layer (type)                                       Output Shape       Param #  Connected to',
    expect.stringMatching(/^=+$/),
    'images (InputLayer)                                (None, 32, 32, 3)        0  -',
    'preprocessing (Normalization)                      (None, 32, 32, 3)        0  images',
    'stem/conv (Conv2D)                                 (None, 32, 32, 4)      112  preprocessing',
  ]);
  expect(lines).toContain(
    'group2/block1/shortcut (ZeroPadding)               (None, 16, 16, 8)        0  group2/block1/shortcut/sampled',
  );
});

it('describeSummary names frozen arrays and counts their parameters', () => {
  const nodes = [
    {
      name: 'whiten',
      op: 'conv2d',
      inputs: ['input'],
      filters: 24,
      kernelSize: 2,
      weights: { kernel: { trainable: false } },
    },
    { name: 'pool', op: 'globalMaxPool', inputs: ['whiten'] },
    { name: 'dense', op: 'dense', inputs: ['pool'], units: 'classes' },
  ];
  const layout = layoutNetwork(parseGraph({ name: 'frozen', nodes }, 'the test'), cifar10Format);
  const lines = describeSummary(summarizeModel(layout));
  // 2 × 2 × 3 × 24 = 288 weights and 24 biases.
  expect(lines[5]).toMatch(/^whiten \(Conv2D, frozen kernel\) .* 312 {2}preprocessing$/);
  expect(lines.at(-1)).toBe('Non-trainable params: 288 (1.2 kB), of which 288 frozen');
});

describe('lockstep summary', () => {
  it('accepts the options of the recipe, and prints JSON', async () => {
    const { status, output } = await runCli(['summary', '--depth', '110', '--recipe', 'paper', '--json']);
    expect(JSON.parse(output)).toMatchObject({ model: 'resnet110', trainableParameters: 1_727_962 });
    expect(status).toBe(0);
  });

  it('prints what a worker exchanges in a step, and how long that takes', async () => {
    const { status, output } = await runCli(['summary']);
    // Weights: 4 × (270,410 + 1376) bytes, or 270,410 + 4 × (1376 + 2 × 78). Both directions at 10 Mbit/s take 1.74 s.
    expect(output.trimEnd().split('\n').slice(-8)).toEqual([
      'Per step and worker                              float32    int8',
      'weights                                           1.1 MB  277 kB',
      'gradient of 1 slice                               1.1 MB  276 kB',
      'gradient of 2 slices                              1.1 MB  552 kB',
      'gradient of 4 slices                              1.1 MB  563 kB',
      'weights and gradient of 1 slice at 10 Mbit/s       1.7 s  442 ms',
      'weights and gradient of 1 slice at 100 Mbit/s     174 ms   44 ms',
      'weights and gradient of 1 slice at 1,000 Mbit/s    17 ms  4.4 ms',
    ]);
    expect(status).toBe(0);
  });

  it('rejects model options together with a checkpoint, which defines the model', async () => {
    const { status, output } = await runCli(['summary', 'runs/first', '--batch-size', '32']);
    expect(output).toBe(
      'lockstep: runs/first is given together with --batch-size: a checkpoint has its own configuration, so omit either CHECKPOINT or the options\n',
    );
    expect(status).toBe(2);
  });
});

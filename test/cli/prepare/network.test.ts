import { readFile, readdir, writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { readPretrainedWeights } from '../../../coordinator/run/checkpoints/pretrained-weights.js';
import { parseGraph } from '../../../shared/network/graph-schema.js';
import { layoutNetwork } from '../../../shared/network/layout.js';
import { LockstepError } from '../../../shared/errors.js';
import { folderPerFile } from '../../support/folder-per-file.js';
import { kerasFile, layer, rising, sequential } from '../../support/keras-file.js';
import { runProgram } from '../../support/program.js';

const inFolder = folderPerFile();
const norm = layer('BatchNormalization', 'norm', { momentum: 0.9 });
const head = [layer('GlobalAveragePooling2D', 'pool'), layer('Dense', 'logits', { units: 3 })];
const variables = [
  ...[0, 1, 2, 3].map((index) => rising(`layers/batch_normalization/vars/${index}`, 3)),
  rising('layers/dense/vars/0', 3, 3),
  rising('layers/dense/vars/1', 3),
];

beforeAll(async () => {
  await writeFile(inFolder('model.keras'), await kerasFile(sequential([8, 9, 3], norm, ...head), variables));
});

const importing = async (...words: string[]) => runProgram('network', 'import', inFolder('model.keras'), ...words);

describe('lockstep network import', () => {
  it('writes the graph, and weights that a run can start with', async () => {
    const { out, error } = await importing(inFolder('new/network.json'), '--weights');
    expect(error).toBeUndefined();
    expect(await readdir(inFolder('new'))).toEqual(['network.json', 'network.safetensors']);
    const text = await readFile(inFolder('new/network.json'), 'utf8');
    const graph = parseGraph(JSON.parse(text), 'network.json');
    expect(graph.nodes.map(({ name }) => name)).toEqual(['norm', 'pool', 'logits']);
    // One line per node, and three each before and after.
    expect(text.trimEnd().split('\n')).toHaveLength(3 + 4 + 2);

    const layout = layoutNetwork(graph, { height: 8, width: 9, channels: 3, classCount: 3 });
    const weights = await readPretrainedWeights(inFolder('new/network.safetensors'), layout);
    expect([weights.missing, weights.unused]).toEqual([[], []]);
    const statistics = new Set(layout.statistics.map(({ name }) => name));
    const trainable = weights.loaded.filter(({ name }) => !statistics.has(name));
    expect(trainable.flatMap(({ values }) => [...values])).toEqual(
      [0, 1, 2, 0, 1, 2, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 2].map((value) => value / 8),
    );
    expect(out).toContain(`weights: ${inFolder('new/network.safetensors')} (SHA-256 ${weights.sha256})`);
  });

  it('says what the model is, and how to train it', async () => {
    const { out } = await importing(inFolder('network.json'));
    expect(out.replaceAll(inFolder(''), '').split('\n')).toEqual([
      '/model.keras imported: small, 3 nodes, 18 parameters',
      'images: 8×9, RGB; 3 classes',
      'layers: /network.json',
      'batch norm momentum in the model: 0.9; set it with --bn-momentum',
      'how the model expects pixels to be scaled is not part of it: choose --preprocessing to match its training',
      'for a dataset with other classes, set units of the node logits to "classes" in /network.json',
      'train it with: lockstep train --network /network.json --data FOLDER',
      '',
    ]);
  });

  it('replaces existing files only with --force', async () => {
    await writeFile(inFolder('old.safetensors'), 'old');
    const { error } = await importing(inFolder('old.json'), '--weights');
    expect(error).toBeInstanceOf(LockstepError);
    expect(error).toMatchObject({ code: 'bad-option', message: expect.stringContaining('already exists') });
    // Nothing is written.
    expect((await readdir(inFolder(''))).filter((name) => name.startsWith('old'))).toEqual(['old.safetensors']);
    expect((await importing(inFolder('old.json'), '--weights', '--force')).error).toBeUndefined();
    expect((await readFile(inFolder('old.safetensors'))).length).toBeGreaterThan(100);
  });

  it('writes nothing if a file cannot be written, or has an unexpected extension', async () => {
    const before = await readdir(inFolder(''));
    const into = inFolder('model.keras/weights.safetensors');
    expect((await importing(inFolder('other.json'), '--weights', into)).error).toMatchObject({
      code: 'bad-option',
      message: expect.stringMatching(/`weights` .* cannot be written \(E\w+\)/),
    });
    expect((await importing(inFolder('other.txt'))).error).toMatchObject({
      code: 'bad-option',
      message: expect.stringContaining('must end in .json'),
    });
    expect(await readdir(inFolder(''))).toEqual(before);
  });
});

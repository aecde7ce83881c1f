// Networks imported from Keras must compute what Keras computes.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { importNetwork, type ImportedNetwork } from '../../../inference/import/import-network.js';
import { layoutNetwork } from '../../../shared/network/layout.js';
import { folderPerFile } from '../../support/folder-per-file.js';
import { referenceStep } from '../../support/reference-network.js';
import { sayWhySkipped } from '../../support/why-skipped.js';

const python = process.env['LOCKSTEP_KERAS_PYTHON'];
if (python === undefined) sayWhySkipped('imports of real Keras models', 'LOCKSTEP_KERAS_PYTHON is not set');
const script = fileURLToPath(new URL('../../support/keras_models.py', import.meta.url));
const inFolder = folderPerFile();

const floats = (file: string) => new Float32Array(new Uint8Array(readFileSync(inFolder(file))).buffer);

describe.skipIf(python === undefined)('a network imported from Keras', () => {
  beforeAll(() => {
    execFileSync(python!, [script, inFolder('')], { stdio: ['ignore', 'ignore', 'pipe'] });
  }, 300_000);

  const load = async (name: string) => importNetwork(inFolder(`${name}.keras`));
  function logitsOf({ graph, data, weights, movingStatistics }: ImportedNetwork, images: Float32Array): number[] {
    return [...referenceStep(layoutNetwork(graph, data), weights, images, [0, 0], { movingStatistics }).logits];
  }

  it.each([
    'sequential',
    'built_later',
    'skip_connections',
    'depthwise',
    'squeeze_and_excite',
    'nested',
    'mobilenet_v2',
    'resnet50',
    'efficientnet',
  ])(
    'predicts what Keras predicts: %s',
    async (name) => {
      const logits = logitsOf(await load(name), floats(`${name}.images.f32`));
      const expected = floats(`${name}.outputs.f32`);
      expect(logits).toHaveLength(expected.length);
      // Keras computes in float32, and with pixels up to 255, intermediate values are large.
      const scale = Math.max(...expected.map(Math.abs), 1);
      for (const [index, logit] of logits.entries())
        expect(Math.abs(logit - expected[index]) / scale).toBeLessThan(1e-4);
    },
    300_000,
  );

  it('has the names of the layers, after those of the models that contain them', async () => {
    const { graph } = await load('nested');
    expect(graph.nodes.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['base/conv', 'middle/conv', 'middle/batch_normalization_4']),
    );
    const frozen = graph.nodes.filter(({ weights }) => weights?.kernel?.trainable === false);
    expect(frozen.map(({ name }) => name.split('/')[0])).toEqual(['base', 'base']);
  });

  it('says whether it scales pixels, augments images, and which momentum its batch norms had', async () => {
    expect(await load('sequential')).toMatchObject({ preprocessing: 'none', augments: true, bnMomenta: [0.9] });
    expect(await load('mobilenet_v2')).toMatchObject({ preprocessing: null, augments: false, bnMomenta: [0.999] });
  });
});

// Networks survive the way to Keras and back.
import { writeFile } from 'node:fs/promises';
import { unzipSync, zipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { writeKeras } from '../../../inference/export/keras.js';
import { importNetwork, type ImportedNetwork } from '../../../inference/import/import-network.js';
import { LockstepError } from '../../../shared/errors.js';
import type { ImageBatch, Preprocessing } from '../../../shared/dataset/image-batch.js';
import { recordFormat } from '../../../shared/dataset/record-format.js';
import { layoutNetwork } from '../../../shared/network/layout.js';
import { resnet } from '../../../shared/network/networks/resnet.js';
import { folderPerFile } from '../../support/folder-per-file.js';
import { perPixelMean, randomBatch, standardize } from '../../support/random-batch.js';
import { referenceStep } from '../../support/reference-network.js';
import { sampleNetworks } from '../export/sample-networks.js';
import { distance, pixelsOf, sampleModel, testImages } from '../export/samples.js';

const inFolder = folderPerFile();
const smallImages = recordFormat({ height: 9, width: 10, channels: 3, classCount: 7 });
const graph = resnet({ depth: 8, initialFilters: 4, shortcut: 'identity', convBias: true, bnEpsilon: 0.001 });

async function exported(preprocessing: Preprocessing) {
  const images = await testImages();
  const { model, logits } = sampleModel(graph, images, preprocessing);
  return { images, model, logits, bytes: await writeKeras(model) };
}

/** Drops what Lockstep added to the metadata, as Keras does when it saves a model. */
function savedAgain(bytes: Uint8Array): Uint8Array {
  return zipSync({ ...unzipSync(bytes), 'metadata.json': Buffer.from('{"keras_version": "3.15.1"}') });
}

async function importBytes(bytes: Uint8Array) {
  await writeFile(inFolder('model.keras'), bytes);
  return importNetwork(inFolder('model.keras'));
}

function logitsOf({ graph, data, weights, movingStatistics }: ImportedNetwork, images: ImageBatch) {
  const labels = new Uint8Array(images.indices.length);
  return referenceStep(layoutNetwork(graph, data), weights, pixelsOf(images), labels, { movingStatistics }).logits;
}

describe('a network exported to Keras', () => {
  it.each<[string, Preprocessing]>([
    ['imagenet', 'imagenet'],
    ['per-pixel-mean', perPixelMean()],
    ['standardize', standardize()],
  ])('is the same after its import, to the bit, with its preprocessing: %s', async (name, preprocessing) => {
    const { model, bytes } = await exported(preprocessing);
    const network = await importBytes(bytes);
    expect(network.weightsSha256).toBe(model.weightsSha256);
    expect(network.graph).toEqual(graph);
    expect(network.data).toEqual(model.layout.data);
    expect(network.preprocessing).toBe(name);
  });

  it('has the preprocessing as a layer of its own after Keras has saved it again', async () => {
    const { images, logits, bytes } = await exported('imagenet');
    const network = await importBytes(savedAgain(bytes));
    expect(network).toMatchObject({ preprocessing: 'none', graph: { channelOrder: 'rgb' } });
    expect(network.graph.nodes.slice(0, 2)).toMatchObject([
      { name: 'preprocessing', op: 'scale', factor: Array(3).fill(expect.closeTo(1 / 255)) },
      { name: 'stem.conv', inputs: ['preprocessing'] },
    ]);
    expect(distance(logitsOf(network, images), logits)).toBeLessThan(1e-4);
  });

  it.each(sampleNetworks.map((sample) => [sample.name, sample] as const))(
    'computes the same after both: %s',
    async (_, sample) => {
      const images = randomBatch(4, 1, smallImages);
      const { model, logits } = sampleModel(sample, images, standardize());
      const bytes = await writeKeras(model);
      const network = await importBytes(bytes);
      expect(network.weightsSha256).toBe(model.weightsSha256);
      expect(network.graph).toEqual(sample);
      expect(distance(logitsOf(await importBytes(savedAgain(bytes)), images), logits)).toBeLessThan(1e-4);
    },
  );

  it('cannot be imported with a mean image after Keras has saved it again', async () => {
    const { bytes } = await exported(perPixelMean());
    const error = await importBytes(savedAgain(bytes)).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(LockstepError);
    expect((error as LockstepError).message).toContain(
      '"preprocessing": the class Normalization, whose axis is [1,2,3]',
    );
  });
});

// What all export formats have in common: names, paths, bytes and metadata.
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { unzipSync } from 'fflate';
import { File, ready, type Dataset } from 'h5wasm';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import {
  encodeExport,
  exportFormats,
  exportModel,
  type Exported,
  type ExportFormat,
} from '../../../inference/export/formats.js';
import type { TrainedModel } from '../../../inference/export/network.js';
import { identityAugmentations } from '../../../shared/dataset/image-batch.js';
import { recordFormat } from '../../../shared/dataset/record-format.js';
import { decodeSafetensors, namedArraysOf } from '../../../shared/network/safetensors.js';
import { resnet } from '../../../shared/network/networks/resnet.js';
import { folderPerFile } from '../../support/folder-per-file.js';
import { randomBatch, standardize } from '../../support/random-batch.js';
import { sampleNetworks } from './sample-networks.js';
import { sampleModel, testImages } from './samples.js';

const inFolder = folderPerFile();
let model: TrainedModel;
beforeAll(async () => {
  const graph = resnet({ depth: 8, initialFilters: 4, shortcut: 'identity', convBias: true, bnEpsilon: 0.001 });
  ({ model } = sampleModel(graph, await testImages()));
});

/** Returns the values of the data sets at these paths. */
async function readHdf5(bytes: Uint8Array, paths: readonly string[]): Promise<Float32Array[]> {
  const { FS } = await ready;
  FS.writeFile('read.h5', bytes);
  const file = new File('read.h5', 'r');
  const values = paths.map((path) => ((file.get(path) as Dataset).value as Float32Array).slice());
  file.close();
  return values;
}

/** Exchanges red and blue in a kernel, [height, width, 3, out]. */
function exchangeFirstAndLastChannel(kernel: Float32Array, [, , inputs, outputs]: readonly number[]): Float32Array {
  expect(inputs).toBe(3);
  return kernel.map((_, index) => {
    const channel = Math.floor(index / outputs) % 3;
    return kernel[index + (2 - 2 * channel) * outputs];
  });
}

const filesOf = (exported: Exported) => ('file' in exported ? { '': exported.file } : exported.folder);

describe.each(exportFormats)('an export as %s', (format) => {
  it('has the same bytes for the same model', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1e12 });
    const first = await encodeExport(model, format);
    vi.setSystemTime(2e12); // years later: HDF5 stores times in whole seconds
    const second = await encodeExport(model, format);
    vi.useRealTimers();
    const [before, after] = [filesOf(first), filesOf(second)];
    expect(Object.keys(after)).toEqual(Object.keys(before));
    for (const [name, bytes] of Object.entries(before)) expect(Buffer.compare(bytes, after[name])).toBe(0);
  });
});

describe('exportModel', () => {
  const write = (to: ExportFormat, out: string, force = false) => exportModel(model, { to, out, force });

  it('rejects a name without the extension of the format', async () => {
    await expect(write('keras', inFolder('model.h5'))).rejects.toMatchObject({
      code: 'bad-option',
      message: `\`out\` is ${inFolder('model.h5')}: the name of a keras file must end in .keras`,
    });
    await expect(write('onnx', inFolder('model'))).rejects.toThrow('must end in .onnx');
  });

  it('replaces an existing file only with `force`', async () => {
    const target = inFolder('existing.onnx');
    await writeFile(target, 'mine');
    await expect(write('onnx', target)).rejects.toThrow(
      `\`out\` is ${target}, which already exists: choose another name, or replace it with \`force\``,
    );
    expect(await readFile(target, 'utf8')).toBe('mine');
    const bytes = await write('onnx', target, true);
    expect((await readFile(target)).length).toBe(bytes);
  });

  it('keeps other files in an existing folder, and never replaces a folder with a file', async () => {
    const folder = inFolder('web');
    await mkdir(folder);
    await writeFile(inFolder('web', 'index.html'), 'mine');
    await write('tfjs', folder, true);
    expect((await readdir(folder)).toSorted()).toEqual(['index.html', 'model.json', 'weights.bin']);
    await mkdir(inFolder('folder.onnx'));
    await expect(write('onnx', inFolder('folder.onnx'), true)).rejects.toThrow('a folder: onnx needs a file');
    await expect(write('savedmodel', inFolder('web', 'index.html'), true)).rejects.toThrow(
      'a file: savedmodel needs a folder',
    );
  });

  it('reports why a path cannot be written', async () => {
    const beneathAFile = inFolder('web', 'index.html', 'model.onnx');
    await expect(write('onnx', beneathAFile)).rejects.toMatchObject({
      code: 'bad-option',
      message: expect.stringMatching(/cannot be written \((ENOTDIR|EEXIST)\): choose another path/) as string,
    });
  });

  it('creates missing folders', async () => {
    await write('safetensors', inFolder('new', 'deep', 'model.safetensors'));
    expect(await readdir(inFolder('new', 'deep'))).toEqual(['model.safetensors']);
  });
});

describe('the metadata of a model', () => {
  it('is in the safetensors header, next to the arrays with their names in checkpoints', async () => {
    const { file } = (await encodeExport(model, 'safetensors')) as { file: Uint8Array };
    const arrays = decodeSafetensors(file, 'the file');
    const { layout, weights } = model;
    expect([...arrays.keys()]).toEqual([...layout.weights, ...layout.statistics].map(({ name }) => name));
    // The last array.
    expect(arrays.get('dense/bias')?.values).toEqual(weights.subarray(-10));
    const headerBytes = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
    const header = JSON.parse(Buffer.from(file.subarray(8, 8 + headerBytes)).toString()) as {
      __metadata__: Record<string, string>;
    };
    expect(JSON.parse(header.__metadata__['network'])).toEqual(layout.graph);
    expect(header.__metadata__).toMatchObject({
      model: 'resnet8',
      input: expect.stringContaining('then the channels in the order blue, green, red') as string,
      classes: 'airplane,automobile,bird,cat,deer,dog,frog,horse,ship,truck',
      divide: '255,255,255',
      step: '351',
      weightsSha256: model.weightsSha256,
    });
  });

  it('is in the metadata of a .keras file', async () => {
    const { file } = (await encodeExport(model, 'keras')) as { file: Uint8Array };
    const entries = unzipSync(file);
    expect(Object.keys(entries)).toEqual(['metadata.json', 'config.json', 'model.weights.h5']);
    expect(JSON.parse(Buffer.from(entries['metadata.json']).toString())).toMatchObject({
      keras_version: expect.stringMatching(/^3\./) as string,
      input: expect.stringContaining('red, green, blue, 0 to 255') as string,
      weightsSha256: model.weightsSha256,
    });
  });

  it.each(sampleNetworks.map((graph) => ({ name: graph.name, graph })))(
    'in a .keras file says where every array of $name is, and whether its channels are reversed',
    async ({ graph }) => {
      const format = recordFormat({ height: 9, width: 10, channels: 3, classCount: 7 });
      const images = { ...randomBatch(2, 1, format), augmentations: identityAugmentations(2) };
      const sample = sampleModel(graph, images, standardize()).model;
      const { layout, weights, movingStatistics } = sample;
      const { file } = (await encodeExport(sample, 'keras')) as { file: Uint8Array };
      const entries = unzipSync(file);
      const { lockstep } = JSON.parse(Buffer.from(entries['metadata.json']).toString()) as {
        lockstep: { arrays: { name: string; path: string; reversed: boolean }[] };
      };
      expect(lockstep).toMatchObject({ graph, preprocessing: 'standardize', data: layout.data });
      const expected = [
        ...namedArraysOf(weights, layout.weights),
        ...namedArraysOf(movingStatistics, layout.statistics),
      ];
      expect(lockstep.arrays).toHaveLength(expected.length);
      const paths = lockstep.arrays.map(({ path }) => path);
      const stored = await readHdf5(entries['model.weights.h5'], paths);
      const restored = lockstep.arrays.map(({ name, reversed }, index) => {
        const { shape } = expected[index];
        const values = reversed ? exchangeFirstAndLastChannel(stored[index], shape) : stored[index];
        return { name, shape, values };
      });
      expect(restored).toEqual(expected);
    },
  );

  it('is in the metadata of a TensorFlow.js model', async () => {
    const { folder } = (await encodeExport(model, 'tfjs')) as { folder: Record<string, Uint8Array> };
    const description = JSON.parse(Buffer.from(folder['model.json']).toString()) as object;
    expect(description).toMatchObject({
      format: 'graph-model',
      userDefinedMetadata: { output: 'logits: float32 [N, 10], before the softmax' },
    });
  });
});

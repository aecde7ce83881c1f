// Exported models must give the same logits when loaded by the software that their formats are for.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import '@tensorflow/tfjs-backend-cpu'; // oxlint-disable-line import/no-unassigned-import -- it registers its kernels
import { loadGraphModel } from '@tensorflow/tfjs-converter';
import { tensor4d, type Tensor } from '@tensorflow/tfjs-core';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { exportModel, type ExportFormat } from '../../../inference/export/formats.js';
import type { TrainedModel } from '../../../inference/export/network.js';
import { writeTfjsModel } from '../../../inference/export/tfjs-model.js';
import { folderPerFile } from '../../support/folder-per-file.js';
import { cifar10Format } from '../../../shared/dataset/cifar10-layout.js';
import { identityAugmentations, type ImageBatch } from '../../../shared/dataset/image-batch.js';
import { recordFormat, type RecordFormat } from '../../../shared/dataset/record-format.js';
import type { NetworkGraph } from '../../../shared/network/graph.js';
import { resnet } from '../../../shared/network/networks/resnet.js';
import { perPixelMean, randomBatch, standardize } from '../../support/random-batch.js';
import { sayWhySkipped } from '../../support/why-skipped.js';
import { sampleNetworks } from './sample-networks.js';
import { distance, pixelsOf, sampleModel, testImages } from './samples.js';

/** Absolute tolerance. The logits are of the order of 1, so any wrong term would change their first digits. */
const tolerance = 1e-4;
const script = fileURLToPath(new URL('../../support/load_exported.py', import.meta.url));
const inFolder = folderPerFile();

const preprocessings = {
  imagenet: 'imagenet',
  'per-pixel-mean': perPixelMean(),
  standardize: standardize(),
  none: { name: 'none' as const, subtract: new Float32Array(3), divide: Float32Array.of(1, 1, 1) },
} as const;

interface Case {
  name: string;
  graph: NetworkGraph;
  preprocessing: keyof typeof preprocessings;
  /** CIFAR-10 images, or random ones of another shape. */
  format: RecordFormat;
}

const resnetCases = [
  { depth: 20, initialFilters: 8, shortcut: 'identity', convBias: true, preprocessing: 'imagenet' },
  { depth: 14, initialFilters: 8, shortcut: 'projection', convBias: true, preprocessing: 'imagenet' },
  { depth: 8, initialFilters: 16, shortcut: 'projection', convBias: false, preprocessing: 'per-pixel-mean' },
  { depth: 8, initialFilters: 4, shortcut: 'identity', convBias: false, preprocessing: 'standardize' },
  { depth: 8, initialFilters: 4, shortcut: 'identity', convBias: true, preprocessing: 'none' },
] as const;
const smallImages = recordFormat({ height: 9, width: 10, channels: 3, classCount: 7 });
const grayImages = recordFormat({ height: 25, width: 25, channels: 1, classCount: 30 });
const cases: readonly Case[] = [
  ...resnetCases.map(({ preprocessing, ...options }) => ({
    name: `resnet${options.depth}, ${options.shortcut}, ${preprocessing}`,
    graph: resnet({ ...options, bnEpsilon: 0.001 }),
    preprocessing,
    format: cifar10Format,
  })),
  ...(['identity', 'projection'] as const).map((shortcut) => ({
    name: `resnet8, ${shortcut}, gray images of an odd size`,
    graph: resnet({ depth: 8, initialFilters: 8, shortcut, convBias: true, bnEpsilon: 0.001 }),
    preprocessing: 'imagenet' as const,
    format: grayImages,
  })),
  ...sampleNetworks.map((graph) => ({
    name: graph.name,
    graph,
    preprocessing: 'standardize' as const,
    format: smallImages,
  })),
];

const indexed = cases.map(({ name }, index) => ({ name, index }));

let samples: { model: TrainedModel; logits: Float64Array; images: ImageBatch }[];
beforeAll(async () => {
  const photos = await testImages();
  samples = cases.map(({ graph, preprocessing, format }) => {
    const random = { ...randomBatch(12, 1, format), augmentations: identityAugmentations(12) };
    const images = format === cifar10Format ? photos : random;
    return { ...sampleModel(graph, images, preprocessings[preprocessing]), images };
  });
});

it('the logits of the samples differ, so that agreement is meaningful', () => {
  for (const { logits } of samples) expect(Math.max(...logits) - Math.min(...logits)).toBeGreaterThan(1);
});

/** Formats grouped by the Python process that loads them, because starting TensorFlow takes most of the time. */
const pythons: { formats: ExportFormat[]; python: string | undefined; reason: string }[] = [
  {
    formats: ['keras', 'savedmodel'],
    python: process.env['LOCKSTEP_KERAS_PYTHON'],
    reason: 'LOCKSTEP_KERAS_PYTHON does not name a Python with Keras and TensorFlow',
  },
  {
    formats: ['onnx'],
    python: process.env['LOCKSTEP_ONNX_PYTHON'],
    reason: 'LOCKSTEP_ONNX_PYTHON does not name a Python with onnxruntime',
  },
];

describe.each(pythons)('$formats files loaded in Python', ({ formats, python, reason }) => {
  if (python === undefined) sayWhySkipped(`loading ${formats.join(' and ')} files`, reason);
  const logitsFile = (format: ExportFormat, index: number) => inFolder(`${format}-${index}.f32`);

  beforeAll(async () => {
    if (python === undefined) return;
    for (const [index, { images }] of samples.entries()) {
      writeFileSync(inFolder(`images-${index}.f32`), pixelsOf(images));
    }
    const tasks: object[] = [];
    for (const format of formats) {
      for (const [index, { model, images }] of samples.entries()) {
        const { height, width, channels } = images.format;
        const target = inFolder(`${format}-${index}${format === 'savedmodel' ? '' : `.${format}`}`);
        await exportModel(model, { to: format, out: target, force: false });
        tasks.push({
          kind: format,
          model: target,
          images: inFolder(`images-${index}.f32`),
          shape: [height, width, channels],
          logits: logitsFile(format, index),
        });
      }
    }
    writeFileSync(inFolder('tasks.json'), JSON.stringify(tasks));
    execFileSync(python, [script, inFolder('tasks.json')], { stdio: ['ignore', 'ignore', 'pipe'] });
  });

  beforeEach((context) => {
    if (python === undefined) context.skip(reason);
  });

  describe.each(formats)('as %s', (format) => {
    it.each(indexed)('give the logits of $name', ({ index }) => {
      const theirs = new Float32Array(new Uint8Array(readFileSync(logitsFile(format, index))).buffer);
      expect(distance(theirs, samples[index].logits)).toBeLessThan(tolerance);
    });
  });
});

/** Loads a model with TensorFlow.js over HTTP and returns its logits. */
async function logitsInTensorFlowJs(model: TrainedModel, images: ImageBatch): Promise<Float32Array> {
  const files = writeTfjsModel(model);
  const server = createServer((request, response) => {
    response.end(files[(request.url ?? '').slice(1)]);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const { port } = server.address() as AddressInfo;
    const graph = await loadGraphModel(`http://127.0.0.1:${port}/model.json`);
    const { height, width, channels, classCount } = images.format;
    const count = images.indices.length;
    const output = graph.predict(tensor4d(pixelsOf(images), [count, height, width, channels])) as Tensor;
    expect(output.shape).toEqual([count, classCount]);
    return await output.data<'float32'>();
  } finally {
    server.close();
  }
}

describe('a graph model loaded by TensorFlow.js over HTTP', () => {
  it.each(indexed)('gives the logits of $name', async ({ index }) => {
    const { model, logits, images } = samples[index];
    expect(distance(await logitsInTensorFlowJs(model, images), logits)).toBeLessThan(tolerance);
  });
});

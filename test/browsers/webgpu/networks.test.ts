// The webgpu engine trains built-in networks on a software driver of Vulkan, which takes minutes to compile their kernels. These
// tests run only on request: LOCKSTEP_WEBGPU_NETWORKS=1.
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { writeCifar10 } from '../../../shared/dataset/cifar10.js';
import { synthesizeDataset } from '../../../shared/dataset/synthesize.js';
import { readReport, runCli } from '../../support/cli.js';
import { folderPerFile } from '../../support/folder-per-file.js';
import { kerasFile, layer, rising, sequential } from '../../support/keras-file.js';
import { webGpuEnvironmentOrReason } from '../../support/webgpu-environment.js';

const inFolder = folderPerFile();
const environment = await webGpuEnvironmentOrReason('networks with the webgpu engine');
const isMissing = typeof environment === 'string' || process.env['LOCKSTEP_WEBGPU_NETWORKS'] !== '1';
const sizes = ['--batch-size', '8', '--slices', '2', '--steps', '2', '--workers', '1', '--validation-split', '0'];

it.skipIf(isMissing).each([
  ['ResNet-20', ['--depth', '20']],
  ['MobileNet', ['--network', 'mobilenet:width=0.25']],
  ['the network of the recipe speedrun', ['--recipe', 'speedrun']],
  ['a model imported from Keras', ['--network', 'model.json']],
])('%s trains, and begins with the loss of the wasm engine', async (name, args) => {
  const data = inFolder('images');
  await writeCifar10(data, synthesizeDataset({ trainingImages: 64, testImages: 16 }), { overwrite: true });
  if (args.includes('model.json')) await importModel();
  const losses: number[] = [];
  for (const engine of ['webgpu', 'wasm']) {
    const runDirectory = inFolder(`${name} ${engine}`);
    const options = ['--data', data, ...sizes, '--engine', engine, '--no-tensorboard', '--run-dir', runDirectory];
    const network = args.map((arg) => (arg === 'model.json' ? inFolder(arg) : arg));
    const { status, output } = await runCli(['train', ...network, ...options], isMissing ? {} : environment);
    expect({ status, output }).toMatchObject({ status: 0 });
    const report = await readReport(runDirectory);
    expect(report).toMatchObject({ steps: 2, exact: true, train: { loss: expect.any(Number) as number } });
    losses.push(await firstLossOf(runDirectory));
  }
  // With 4 images in a slice, rounding decides which units of MobileNet are active: its kernels' gradients are up to 15% (wasm)
  // and 1.3% (webgpu) from those in float64, so the losses of the second step differ.
  expect(losses[0]).toBeCloseTo(losses[1], 4);
});

async function firstLossOf(runDirectory: string): Promise<number> {
  const lines = (await readFile(path.join(runDirectory, 'metrics.jsonl'), 'utf8')).trimEnd().split('\n');
  return lines
    .map((line) => z.looseObject({ type: z.string(), loss: z.number().optional() }).parse(JSON.parse(line)))
    .find(({ type }) => type === 'step')!.loss!;
}

/** Imports a small Keras model to model.json. */
async function importModel(): Promise<void> {
  const model = sequential(
    [32, 32, 3],
    layer('Conv2D', 'conv', { filters: 4, kernel_size: 3, strides: 2, padding: 'same', activation: 'relu' }),
    layer('GlobalAveragePooling2D', 'pool'),
    layer('Dense', 'logits', { units: 10 }),
  );
  const variables = [
    rising('layers/conv2d/vars/0', 3, 3, 3, 4),
    rising('layers/conv2d/vars/1', 4),
    rising('layers/dense/vars/0', 4, 10),
    rising('layers/dense/vars/1', 10),
  ];
  await writeFile(inFolder('model.keras'), await kerasFile(model, variables));
  const { status, output } = await runCli(['network', 'import', inFolder('model.keras'), inFolder('model.json')]);
  expect({ status, output }).toMatchObject({ status: 0 });
}

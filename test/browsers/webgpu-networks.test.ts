// The webgpu engine trains the built-in networks on a software driver of Vulkan, which takes minutes to compile their kernels.
import { expect, it } from 'vitest';
import { writeCifar10 } from '../../shared/dataset/cifar10.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { readReport, runCli } from '../support/cli.js';
import { folderPerFile } from '../support/folder-per-file.js';
import { webGpuEnvironmentOrReason } from '../support/webgpu-environment.js';

const inFolder = folderPerFile();
const environment = await webGpuEnvironmentOrReason('networks with the webgpu engine');
const isMissing = typeof environment === 'string';
const sizes = ['--batch-size', '8', '--slices', '2', '--steps', '2', '--workers', '1', '--validation-split', '0'];

it.skipIf(isMissing).each([
  ['ResNet-20', ['--depth', '20']],
  ['MobileNet', ['--network', 'mobilenet:width=0.25']],
  ['the network of the recipe speedrun', ['--recipe', 'speedrun']],
])('%s learns what it learns with the wasm engine', async (name, args) => {
  const data = inFolder('images');
  await writeCifar10(data, synthesizeDataset({ trainingImages: 64, testImages: 16 }), { overwrite: true });
  const losses: number[] = [];
  for (const engine of ['webgpu', 'wasm']) {
    const runDirectory = inFolder(`${name} ${engine}`);
    const options = ['--data', data, ...sizes, '--engine', engine, '--no-tensorboard', '--run-dir', runDirectory];
    const { status, output } = await runCli(['train', ...args, ...options], isMissing ? {} : environment);
    expect({ status, output }).toMatchObject({ status: 0 });
    const report = await readReport(runDirectory);
    expect(report).toMatchObject({ steps: 2, exact: true });
    losses.push(report.train.loss);
  }
  expect(losses[0]).toBeCloseTo(losses[1], 3);
});

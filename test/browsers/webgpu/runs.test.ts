// Runs with the webgpu engine on a software driver of Vulkan, with real processes and few images.
import { writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { writeCifar10 } from '../../../shared/dataset/cifar10.js';
import { synthesizeDataset } from '../../../shared/dataset/synthesize.js';
import { readReport, runCli, startCli, startHelper, stepsMade } from '../../support/cli.js';
import { folderPerFile } from '../../support/folder-per-file.js';
import { fewKernels } from '../../support/sample-graphs.js';
import { webGpuEnvironmentOrReason } from '../../support/webgpu-environment.js';

const inFolder = folderPerFile();
const environment = await webGpuEnvironmentOrReason('runs with the webgpu engine');
const isMissing = typeof environment === 'string';
const env = isMissing ? {} : environment;

let data: string;
beforeAll(async () => {
  data = inFolder('images');
  await writeCifar10(data, synthesizeDataset({ trainingImages: 128, testImages: 16 }));
  await writeFile(inFolder('small.json'), JSON.stringify(fewKernels));
});

const engine = ['--engine', 'webgpu'];
const recipe = ['--batch-size', '8', '--slices', '2', '--seed', '4', '--no-tensorboard', '--validation-split', '0'];

/** Trains to the end. @returns the report */
async function train(name: string, args: readonly string[]) {
  const directory = ['--data', data, '--run-dir', inFolder(name)];
  const { status, output } = await runCli(['train', ...recipe, ...engine, ...directory, ...args], env);
  expect({ status, output }).toMatchObject({ status: 0 });
  return readReport(inFolder(name));
}

describe.skipIf(isMissing)('a run with the webgpu engine', () => {
  let steps: readonly string[];
  let alone: Awaited<ReturnType<typeof train>>;
  beforeAll(async () => {
    steps = ['--network', inFolder('small.json'), '--steps', '6'];
    alone = await train('one', [...steps, '--workers', '1']);
  });

  it('has a fingerprint with the device and a probe, and is exact', () => {
    expect(alone).toMatchObject({
      exact: true,
      exactAsProbed: true,
      fingerprint: expect.stringMatching(/^webgpu\/\d+; vendor=.*; description=.*; probe=[0-9a-f]{16}$/),
    });
  });

  it('learns what the wasm engine learns', async () => {
    const { train: expected } = await train('wasm', [...steps, '--workers', '1', '--engine', 'wasm']);
    expect(alone.train.loss).toBeCloseTo(expected.loss, 3);
  });

  it('has the same weights with three workers, one of which is killed', async () => {
    const runDirectory = inFolder('killed');
    const options = ['--port', '0', '--min-workers', '3', '--run-dir', runDirectory, '--straggler-factor', '0'];
    const coordinator = startCli(['coordinator', ...recipe, ...engine, '--data', data, ...steps, ...options], env);
    const [, url = ''] = await coordinator.says(/lockstep worker (ws:\S+)/);
    // It blocks the run after the second step until it is killed.
    const holding = startHelper('announcing-worker.mjs', [url, 'w1', '2', '', 'webgpu'], env);
    const others = ['w2', 'w3'].map((name) => startCli(['worker', url, ...engine, '--name', name, '--no-cache'], env));
    await stepsMade(runDirectory, 2);
    holding.child.kill('SIGKILL');
    expect(await coordinator.exited).toBe(0);
    for (const other of others) expect(await other.exited).toBe(0);
    const report = await readReport(runDirectory);
    expect(report).toMatchObject({ weightsSha256: alone.weightsSha256, workersJoined: 3, workersLost: 1 });
  });

  it('has the same weights when two workers are interrupted and one resumes', async () => {
    const directory = ['--data', data, '--run-dir', inFolder('interrupted'), '--checkpoint-every', '3'];
    // Its weights after six steps do not depend on its length, because the learning rate is constant.
    const endless = [...recipe, ...engine, ...directory, ...steps, '--steps', '100000', '--workers', '2'];
    const first = startCli(['train', ...endless], env);
    await first.says('worker-2 joined');
    await stepsMade(inFolder('interrupted'), 4);
    first.child.kill('SIGINT');
    expect(await first.exited).toBe(130);
    const checkpoint = inFolder('interrupted', 'checkpoints', 'step-00000003');
    const resumed = await train('resumed', ['--resume', checkpoint, '--steps', '6', '--workers', '1']);
    expect(resumed).toMatchObject({ weightsSha256: alone.weightsSha256, fingerprint: alone.fingerprint, exact: true });
  });
});

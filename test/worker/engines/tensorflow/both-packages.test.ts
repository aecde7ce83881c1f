// The packages for GPUs and for CPUs are built from the same sources. Both are run on the CPU and must give the same
// bits in a whole run.
import { existsSync, mkdirSync, symlinkSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, it } from 'vitest';
import { z } from 'zod';
import {
  bindingInPackage,
  installFolder,
  lockstepHome,
  tfjsPackages,
  type TensorFlowFlavor,
} from '../../../../worker/engines/tensorflow/install-folder.js';
import { runCli } from '../../../support/cli.js';
import { temporaryFolder } from '../../../support/temporary-folder.js';
import { sayWhySkipped } from '../../../support/why-skipped.js';

const installed = installFolder(lockstepHome(process.env), 'cpu');
const flavors: readonly TensorFlowFlavor[] = ['cpu', 'gpu'];
const isMissing = !flavors.every((flavor) =>
  existsSync(path.join(installed, 'node_modules', tfjsPackages[flavor], bindingInPackage)),
);
const why = '`lockstep setup-tensorflow --cpu --both-packages` has not been run';
if (isMissing) sayWhySkipped('training through the package for GPUs', why);

const report = z.looseObject({
  weightsSha256: z.string().length(64),
  engines: z.array(z.object({ engine: z.string(), fingerprint: z.string() })),
  train: z.object({ loss: z.number() }),
});

/** Trains for a few steps with a LOCKSTEP_HOME in which the installation in `folder` is the one for `flavor`. */
async function trainThrough(flavor: TensorFlowFlavor, folder: string) {
  const home = path.join(folder, flavor);
  mkdirSync(home);
  symlinkSync(installed, installFolder(home, flavor));
  const runDir = path.join(home, 'run');
  const options = ['--engine', 'tensorflow', '--workers', '1', '--steps', '4', '--batch-size', '32'];
  const model = ['--depth', '8', '--initial-filters', '8', '--shortcut', 'projection'];
  const args = ['train', '--data', path.join(folder, 'data'), '--run-dir', runDir, '--no-tensorboard'];
  const { status, output } = await runCli([...args, ...options, ...model], { LOCKSTEP_HOME: home });
  expect(output).toContain('weights ');
  expect(status).toBe(0);
  return report.parse(JSON.parse(await readFile(path.join(runDir, 'report.json'), 'utf8')));
}

it.skipIf(isMissing)(`both packages train to the same weights`, async () => {
  const folder = await temporaryFolder();
  const sizes = ['--training-images', '256', '--test-images', '32'];
  expect((await runCli(['data', 'synthesize', path.join(folder, 'data'), ...sizes])).status).toBe(0);
  const cpu = await trainThrough('cpu', folder);
  const gpu = await trainThrough('gpu', folder);
  expect(cpu.engines[0].fingerprint).toMatch(/^tfjs-node 4/);
  expect(gpu.engines[0].fingerprint).toMatch(/^tfjs-node-gpu 4/);
  expect(gpu.weightsSha256).toBe(cpu.weightsSha256);
  expect(gpu.train.loss).toBe(cpu.train.loss);
});

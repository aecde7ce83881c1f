// A coordinator killed with SIGKILL and restarted with --resume, while its workers keep reconnecting. Real processes.
import path from 'node:path';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { readdir } from 'node:fs/promises';
import { afterEach, beforeAll, expect, it } from 'vitest';
import { saveCheckpoint } from '../../coordinator/run/checkpoints/checkpoint.js';
import { loadCheckpoint } from '../../coordinator/run/checkpoints/load-checkpoint.js';
import { planRun } from '../../coordinator/run/resume.js';
import { RunDirectory } from '../../coordinator/run/run-directory.js';
import { writeCifar10 } from '../../shared/dataset/cifar10.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { readReport, runCli, startCli, stepsMade, type CliProcess } from '../support/cli.js';
import { folderPerFile } from '../support/folder-per-file.js';
import { freePort } from '../support/free-port.js';
import { progress, setup, stateAt } from '../support/small-checkpoint.js';

const inFolder = folderPerFile();
// A tenth of the 800 images is used for validation, so an epoch has 22 steps.
const recipe = ['--depth', '8', '--initial-filters', '4', '--batch-size', '32', '--seed', '3', '--steps', '40'];
const pathOf = (script: string) => fileURLToPath(new URL(`../support/${script}`, import.meta.url));
const dieAt = pathOf('die-at.mjs');

let data: string[];
let undisturbed: string;
beforeAll(async () => {
  const folder = inFolder('images');
  await writeCifar10(folder, synthesizeDataset({ trainingImages: 800, testImages: 200 }));
  data = ['--data', folder];
  const args = ['--engine', 'wasm', '--workers', '1', '--run-dir', inFolder('undisturbed')];
  await runCli(['train', ...recipe, ...data, ...args]);
  undisturbed = (await readReport(inFolder('undisturbed'))).weightsSha256;
});

let workers: CliProcess[] = [];
afterEach(async () => {
  for (const { child } of workers) child.kill('SIGKILL');
  await Promise.all(workers.map(({ exited }) => exited));
  workers = [];
});

/** Returns functions that start the coordinator of a run, always on the same port, and its workers. */
async function runOf(name: string) {
  const runDirectory = inFolder(name);
  const port = String(await freePort());
  async function start(options: string[], environment: NodeJS.ProcessEnv = {}): Promise<CliProcess> {
    const args = ['--port', port, '--min-workers', '2', '--checkpoint-every', '10', '--run-dir', runDirectory];
    const coordinator = startCli(['coordinator', ...recipe, ...data, ...args, ...options], environment);
    await coordinator.says(/lockstep worker ws:/);
    return coordinator;
  }
  function startWorkers(): void {
    for (const worker of ['w1', 'w2']) {
      workers.push(startCli(['worker', `ws://127.0.0.1:${port}`, '--engine', 'wasm', '--name', worker, '--no-cache']));
    }
  }
  return { runDirectory, start, startWorkers };
}

it('a coordinator killed in the middle of an epoch resumes with the same workers and ends with the same weights', async () => {
  const { runDirectory, start, startWorkers } = await runOf('middle');
  const first = await start([]);
  startWorkers();
  await stepsMade(runDirectory, 13);
  first.child.kill('SIGKILL');
  await first.exited;
  const second = await start(['--resume']);
  expect(await second.exited).toBe(0);
  expect(second.output()).toMatch(/resumed after step 10 of 40, from .*step-00000010/);
  expect(await readReport(runDirectory)).toMatchObject({
    weightsSha256: undisturbed,
    exact: true,
    resumedAtSteps: [10],
  });
  for (const worker of workers) {
    expect(await worker.exited).toBe(0);
    expect(worker.output().split('joined as worker')).toHaveLength(3);
  }
});

it('a coordinator killed at any stage of writing a checkpoint leaves earlier ones intact, and the weights are the same', async () => {
  const stages = [
    'open step-00000010.partial/optimizer',
    'rename step-00000010$',
    'rename latest$',
    'open step-00000020.partial/state',
    'rename step-00000022$',
  ];
  const { runDirectory, start, startWorkers } = await runOf('saving');
  const resumedAt: string[] = [];
  for (const [turn, stage] of [...stages, ''].entries()) {
    const environment = { NODE_OPTIONS: `--import ${dieAt}`, LOCKSTEP_TEST_DIE_AT: stage };
    const coordinator = await start(['--resume', 'auto'], environment);
    if (turn === 0) startWorkers();
    expect(await coordinator.exited).toBe(stage === '' ? 0 : null);
    resumedAt.push(/resumed after step (\d+)/.exec(coordinator.output())?.[1] ?? 'the beginning');
  }
  // If the coordinator is killed before it updates `latest`, the checkpoint is complete and is found without `latest`.
  expect(resumedAt).toEqual([...Array<string>(3).fill('the beginning'), '10', '10', '20']);
  expect(await readReport(runDirectory)).toMatchObject({ weightsSha256: undisturbed, exact: true });
  const names = await readdir(path.join(runDirectory, 'checkpoints'));
  expect(names.filter((name) => /partial|replaced|superseded/.test(name))).toEqual([]);
});

it.each(['rename step-00000005.replaced$', 'rename step-00000005$', 'rename latest$'])(
  'a coordinator killed while it saves a checkpoint again, at "%s", does not lose that checkpoint',
  async (stage) => {
    const run = inFolder(`again-${stage.length}`);
    const { checkpoints } = new RunDirectory(run);
    const saved = await saveCheckpoint(checkpoints, setup, stateAt(5), progress);
    const child = spawn(process.execPath, ['--import', dieAt, pathOf('resave-checkpoint.mjs'), checkpoints], {
      env: { ...process.env, LOCKSTEP_TEST_DIE_AT: stage },
      stdio: 'inherit',
    });
    expect(await once(child, 'exit')).toEqual([null, 'SIGKILL']);
    for (const location of [run, path.join(checkpoints, 'latest'), saved]) {
      expect(await loadCheckpoint(location)).toMatchObject(stateAt(5));
    }
    await expect(new RunDirectory(run).assertFree()).rejects.toThrow('already holds a run');
    const { config, checkpoint } = await planRun({ runDir: run }, { resume: 'auto' });
    expect(checkpoint).toMatchObject({ ...stateAt(5), path: saved });
    const directory = new RunDirectory(run);
    await directory.open(config, checkpoint);
    await directory.close();
    expect((await readdir(checkpoints)).toSorted()).toEqual(['best', 'latest', 'step-00000005']);
    expect(await loadCheckpoint(saved)).toMatchObject(stateAt(5));
  },
);

// The weights do not depend on the number of workers or on faults. Uses real processes, the wasm engine and the built
// command line.
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { readReport, runCli, startCli, startHelper, stepsMade, type CliProcess } from '../support/cli.js';
import { writeCifar10 } from '../../shared/dataset/cifar10.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { folderPerFile } from '../support/folder-per-file.js';

const inFolder = folderPerFile();
const engine = 'wasm';
const recipe = ['--depth', '8', '--initial-filters', '4', '--batch-size', '32', '--seed', '3', '--steps', '60'];

describe('with real processes, the weights have the same bits', () => {
  let data: string[];
  let alone: string;
  beforeAll(async () => {
    const folder = inFolder('images');
    await writeCifar10(folder, synthesizeDataset({ trainingImages: 800, testImages: 200 }));
    data = ['--data', folder];
    alone = await trainedHash(1);
  });

  async function trainedHash(workers: number): Promise<string> {
    const runDirectory = inFolder(`train-${workers}`);
    const args = ['--engine', engine, '--workers', String(workers), '--run-dir', runDirectory];
    const { status, output } = await runCli(['train', ...recipe, ...data, ...args]);
    expect(output).toMatch(/Test loss: \d+\.\d+ \/ Test accuracy: \d\.\d+/);
    expect(status).toBe(0);
    const report = await readReport(runDirectory);
    expect(report).toMatchObject({ steps: 60, workersJoined: workers, workersLost: 0, exact: true });
    return report.weightsSha256;
  }

  /** Starts a coordinator. @returns the coordinator and functions that start its workers */
  async function startCoordinator(name: string, minWorkers: number, changes: readonly string[] = []) {
    const runDirectory = inFolder(name);
    const options = ['--port', '0', '--min-workers', String(minWorkers), '--run-dir', runDirectory];
    const coordinator = startCli(['coordinator', ...recipe, ...data, ...options, ...changes]);
    const [, url = ''] = await coordinator.says(/lockstep worker (ws:\S+)/);
    const join = (worker: string): CliProcess =>
      startCli(['worker', url, '--engine', engine, '--name', worker, '--cache', inFolder('cache')]);
    /** Starts a worker that blocks the run after the second step until it receives a message. */
    const joinAndHold = (worker: string) => startHelper('announcing-worker.mjs', [url, worker, '2']);
    return { coordinator, runDirectory, url, join, joinAndHold };
  }

  it('with two and with three workers', async () => {
    expect(await trainedHash(2)).toBe(alone);
    expect(await trainedHash(3)).toBe(alone);
  });

  it('with a coordinator and two workers started separately', async () => {
    const { coordinator, runDirectory, join } = await startCoordinator('separate', 2);
    const workers = [join('w1'), join('w2')];
    expect(await coordinator.exited).toBe(0);
    const statuses = await Promise.all(workers.map((worker) => worker.exited));
    for (const worker of workers) expect(worker.output()).toContain('the run has ended');
    expect(statuses).toEqual([0, 0]);
    expect((await readReport(runDirectory)).weightsSha256).toBe(alone);
  });

  it('when a third worker joins and one is killed', async () => {
    // Speculative work is disabled, so the step cannot finish without w1 until w1 is killed.
    const faulted = await startCoordinator('faulted', 2, ['--straggler-factor', '0']);
    const { coordinator, runDirectory, join, joinAndHold } = faulted;
    const workers = [joinAndHold('w1'), join('w2')];
    await stepsMade(runDirectory, 2);
    workers.push(join('w3'));
    await coordinator.says('w3 joined');
    workers[0].child.kill('SIGKILL');
    await coordinator.says('w1 disconnected');
    expect(await coordinator.exited).toBe(0);
    await Promise.all(workers.map((worker) => worker.exited));
    const report = await readReport(runDirectory);
    expect(report).toMatchObject({ workersJoined: 3, workersLost: 1, weightsSha256: alone });
  });

  it('with two worker processes from one command, which prints their output', async () => {
    const { coordinator, runDirectory, url } = await startCoordinator('two-from-one', 2);
    const args = ['worker', url, '--engine', engine, '--workers', '2', '--name', 'host', '--no-cache'];
    const workers = startCli(args);
    expect(await coordinator.exited).toBe(0);
    expect(await workers.exited).toBe(0);
    expect(workers.output()).toMatch(/^host-worker-2: the run has ended; [\d,]+ images? processed$/m);
    expect((await readReport(runDirectory)).weightsSha256).toBe(alone);
  });

  it('and both worker processes of a command say goodbye when Ctrl-C interrupts them as they join', async () => {
    const { coordinator, url } = await startCoordinator('goodbyes', 2, ['--steps', '1000000']);
    // Runs twice because of a past bug: one time in ten, the goodbye from a worker that was still receiving shards was
    // lost.
    for (let turn = 1; turn <= 2; turn++) {
      const workers = startCli(['worker', url, '--engine', engine, '--workers', '2', '--name', 'host', '--no-cache']);
      await coordinator.says(new RegExp(`(?:host-worker-\\d joined [^]*?){${2 * turn}}`));
      workers.child.kill('SIGINT');
      expect(await workers.exited).toBe(130);
      const [output] = await coordinator.says(new RegExp(`(?:host-worker-\\d disconnected .*\n[^]*?){${2 * turn}}`));
      expect(output.match(/host-worker-\d disconnected \(left: interrupted by SIGINT\)/g)).toHaveLength(2 * turn);
    }
    coordinator.child.kill('SIGKILL');
    await coordinator.exited;
  });

  it('and Ctrl-C finishes the step, saves a checkpoint, stops the workers and exits with 130', async () => {
    const runDirectory = inFolder('interrupted');
    const args = ['--engine', engine, '--workers', '2', '--run-dir', runDirectory, '--steps', '100000'];
    const run = startCli(['train', ...recipe.slice(0, -2), ...data, ...args]);
    await run.says('worker-2 joined');
    await stepsMade(runDirectory, 2);
    run.child.kill('SIGINT');
    expect(await run.exited).toBe(130);
    expect(run.output()).toMatch(/saved .*step-\d{8}/);
    const checkpoints = await readdir(path.join(runDirectory, 'checkpoints'));
    expect(checkpoints).toContain('latest');
    expect(checkpoints.filter((name) => name.startsWith('step-')).length).toBeGreaterThan(0);
  });

  it('when a worker is interrupted, which says goodbye', async () => {
    const { coordinator, runDirectory, join, joinAndHold } = await startCoordinator('goodbye', 2);
    const [first, second] = [join('w1'), joinAndHold('w2')];
    await stepsMade(runDirectory, 2);
    first.child.kill('SIGTERM');
    expect(await first.exited).toBe(130);
    await coordinator.says('w1 disconnected (left: interrupted by SIGTERM)');
    second.child.send('continue');
    expect(await coordinator.exited).toBe(0);
    expect(await second.exited).toBe(0);
    expect((await readReport(runDirectory)).weightsSha256).toBe(alone);
  });
});

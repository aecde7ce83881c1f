// SIGINT, SIGTERM and SIGKILL at different times: the command exits and leaves no process behind. Uses real processes.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeCifar10 } from '../../shared/dataset/cifar10.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { startCli, stepsMade, type CliProcess } from '../support/cli.js';
import { folderPerFile } from '../support/folder-per-file.js';
import { canListProcesses, processesNamed } from '../support/processes-named.js';

const inFolder = folderPerFile();
const endless = ['--depth', '8', '--initial-filters', '4', '--batch-size', '32', '--steps', '1000000'];

let data: string[];
let coordinator: CliProcess;
let url: string;
beforeAll(async () => {
  await writeCifar10(inFolder('images'), synthesizeDataset({ trainingImages: 800, testImages: 200 }));
  data = ['--data', inFolder('images'), '--no-tensorboard'];
  coordinator = startCli(['coordinator', ...endless, ...data, '--port', '0', '--run-dir', inFolder('endless')]);
  [, url = ''] = await coordinator.says(/lockstep worker (ws:\S+)/);
});
afterAll(async () => {
  coordinator.child.kill('SIGKILL');
  await coordinator.exited;
});

/** Counter that makes names unique. */
let commands = 0;
function startTwoWorkers() {
  const name = `host-${process.pid}-${++commands}`;
  const workers = startCli(['worker', url, '--engine', 'wasm', '--workers', '2', '--name', name, '--no-cache']);
  const assertNoneLeft = async () => await expect.poll(() => processesNamed(name)).toEqual([]);
  return { name, workers, assertNoneLeft };
}
type Started = ReturnType<typeof startTwoWorkers>;

/** Stages of `lockstep worker --workers 2`, in order. */
const stages: [string, (started: Started) => Promise<unknown>][] = [
  ['immediately', () => Promise.resolve()],
  [
    'when the worker processes have started',
    async ({ name }) => await expect.poll(() => processesNamed(`${name}-worker-1`)).not.toEqual([]),
  ],
  ['when the engine is loaded', ({ workers }) => workers.says('can compute with')],
  ['when the coordinator has admitted a worker', ({ name }) => coordinator.says(`${name}-worker-1 joined`)],
  ['when a worker has joined', ({ workers }) => workers.says('joined as worker')],
];

describe.skipIf(!canListProcesses)('two worker processes from one command exit, and leave no process behind,', () => {
  describe.each(['SIGINT', 'SIGKILL'] as const)('after %s', (signal) => {
    it.each(stages)('%s', async (_, reach) => {
      const started = startTwoWorkers();
      await reach(started);
      started.workers.child.kill(signal);
      const status = await started.workers.exited;
      // Until the command handles signals, they have their default effect.
      expect(status === null || status === 130).toBe(true);
      await started.assertNoneLeft();
    });
  });
});

describe('a second signal', () => {
  let train: string[];
  beforeAll(() => {
    train = ['train', ...endless, ...data, '--engine', 'wasm', '--workers', '1'];
  });

  it('has no effect if it arrives together with the first, as when npm or timeout forwards a signal', async () => {
    const runDirectory = inFolder('twice');
    const run = startCli([...train, '--run-dir', runDirectory]);
    await run.says('worker-1 joined');
    await stepsMade(runDirectory, 2);
    // Both are queued while the process is stopped, and arrive together.
    for (const signal of ['SIGSTOP', 'SIGINT', 'SIGTERM', 'SIGCONT'] as const) run.child.kill(signal);
    expect(await run.exited).toBe(130);
    expect(run.output()).toMatch(/saved .*step-\d{8}/);
  });

  it.skipIf(!canListProcesses)('ends a command that cannot finish its step immediately, with its workers', async () => {
    const runDirectory = inFolder('stuck');
    const run = startCli([...train, '--run-dir', runDirectory]);
    const [, port] = await run.says(/dashboard: http:\/\/127\.0\.0\.1:(\d+)/);
    const workerUrl = `worker ws://127.0.0.1:${port} `;
    await run.says('worker-1 joined');
    await stepsMade(runDirectory, 2);
    const [worker] = await processesNamed(workerUrl);
    process.kill(worker, 'SIGSTOP');
    run.child.kill('SIGTERM');
    await run.says('finishing the current step');
    // Repeat the signal: those that arrive within a quarter of a second after the first are ignored.
    const pressing = setInterval(() => run.child.kill('SIGINT'), 50);
    expect(await run.exited.finally(() => clearInterval(pressing))).toBe(130);
    // If the command had waited for the step to time out, it would have saved a checkpoint of the previous step.
    expect(run.output()).not.toContain('saved');
    await expect.poll(() => processesNamed(workerUrl)).toEqual([]);
  });
});

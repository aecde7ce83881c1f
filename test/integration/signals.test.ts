// Ctrl-C, SIGTERM and SIGKILL at the moments between a command's start and its end: it ends, and nothing is left behind.
// Real processes, as a person starts them.
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

/** Nobody else has these names. */
let commands = 0;
function startTwoWorkers() {
  const name = `host-${process.pid}-${++commands}`;
  const workers = startCli(['worker', url, '--engine', 'wasm', '--workers', '2', '--name', name, '--no-cache']);
  const nobodyLeft = async () => await expect.poll(() => processesNamed(name)).toEqual([]);
  return { name, workers, nobodyLeft };
}
type Started = ReturnType<typeof startTwoWorkers>;

/** Moments of `lockstep worker --workers 2`, in their order. */
const moments: [string, (started: Started) => Promise<unknown>][] = [
  ['at once', () => Promise.resolve()],
  [
    'when the worker processes begin',
    async ({ name }) => await expect.poll(() => processesNamed(`${name}-worker-1`)).not.toEqual([]),
  ],
  ['when an engine is there', ({ workers }) => workers.says('computes with')],
  ['when the coordinator has let one in', ({ name }) => coordinator.says(`${name}-worker-1 joined`)],
  ['when one has joined', ({ workers }) => workers.says('joined as worker')],
];

describe.skipIf(!canListProcesses)('two worker processes from one command end, and leave nobody behind,', () => {
  describe.each(['SIGINT', 'SIGKILL'] as const)('by %s', (signal) => {
    it.each(moments)('%s', async (_, moment) => {
      const started = startTwoWorkers();
      await moment(started);
      started.workers.child.kill(signal);
      const status = await started.workers.exited;
      // Before a command listens to signals they have their usual effect.
      expect(status === null || status === 130).toBe(true);
      await started.nobodyLeft();
    });
  });
});

describe('a second signal', () => {
  let train: string[];
  beforeAll(() => {
    train = ['train', ...endless, ...data, '--engine', 'wasm', '--workers', '1'];
  });

  it('that comes along with the first, as npm and timeout pass it on, is the same one', async () => {
    const runDirectory = inFolder('twice');
    const run = startCli([...train, '--run-dir', runDirectory]);
    await run.says('worker-1 joined');
    await stepsMade(runDirectory, 2);
    // Both wait while it stands still, and reach it together.
    for (const signal of ['SIGSTOP', 'SIGINT', 'SIGTERM', 'SIGCONT'] as const) run.child.kill(signal);
    expect(await run.exited).toBe(130);
    expect(run.output()).toMatch(/saved .*step-\d{8}/);
  });

  it.skipIf(!canListProcesses)('ends a step that nobody can end, at once, and the workers with it', async () => {
    const runDirectory = inFolder('stuck');
    const run = startCli([...train, '--run-dir', runDirectory]);
    const [, port] = await run.says(/dashboard: http:\/\/127\.0\.0\.1:(\d+)/);
    const workerUrl = `worker ws://127.0.0.1:${port} `;
    await run.says('worker-1 joined');
    await stepsMade(runDirectory, 2);
    const [worker] = await processesNamed(workerUrl);
    process.kill(worker, 'SIGSTOP');
    run.child.kill('SIGTERM');
    await run.says('finishing the running step');
    // As a person does who sees nothing happen; those that come right behind the first are taken for the same.
    const pressing = setInterval(() => run.child.kill('SIGINT'), 50);
    expect(await run.exited.finally(() => clearInterval(pressing))).toBe(130);
    // Given up in its own time, the step would have been followed by a checkpoint of the one before it.
    expect(run.output()).not.toContain('saved');
    await expect.poll(() => processesNamed(workerUrl)).toEqual([]);
  });
});

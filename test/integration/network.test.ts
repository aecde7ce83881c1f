// Runs over a virtual network that is slow and lossy, whose cables are unplugged, or that is not connected yet. The
// weights must equal those of a run without faults. Each machine is a network namespace.
import { beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { writeCifar10 } from '../../shared/dataset/cifar10.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { readReport, runCli, startCli, startHelper, stepsMade, type CliProcess } from '../support/cli.js';
import { folderPerFile } from '../support/folder-per-file.js';
import { meansOfConditions, openRoom, whyNoRoom, type Machine, type LinkConditions } from '../support/network-room.js';
import { sayWhySkipped } from '../support/why-skipped.js';

const inFolder = folderPerFile();
const steps = 14;
const recipe = ['--depth', '8', '--initial-filters', '4', '--batch-size', '32', '--steps', String(steps)];
const environment = { LOCKSTEP_TOKEN: 'for this test' };
const port = 7350;

const noRoom = await whyNoRoom();
if (noRoom !== undefined) sayWhySkipped('runs over a network', noRoom);
const conditionsMean = noRoom === undefined ? await meansOfConditions() : { reason: noRoom };
if ('reason' in conditionsMean) sayWhySkipped('a run over a bad network', conditionsMean.reason);
const means = 'means' in conditionsMean ? conditionsMean.means : undefined;

let run: string[];
let faultless: string;
beforeAll(async () => {
  if (noRoom !== undefined) return;
  await writeCifar10(inFolder('images'), synthesizeDataset({ trainingImages: 400, testImages: 100 }));
  run = [...recipe, '--data', inFolder('images'), '--no-tensorboard'];
  await runCli(['train', ...run, '--engine', 'wasm', '--workers', '1', '--run-dir', inFolder('faultless')]);
  faultless = (await readReport(inFolder('faultless'))).weightsSha256;
});

/** Creates three machines. Returns functions that start a coordinator on the first one and workers on the others. */
async function network({ onTestFinished }: TestContext, conditions?: LinkConditions) {
  const room = await openRoom(means);
  const started: CliProcess[] = [];
  onTestFinished(async () => {
    for (const { child } of started) child.kill('SIGKILL');
    await Promise.all(started.map(({ exited }) => exited));
    await room.close();
  });
  const here = await room.addMachine();
  const machines = [await room.addMachine(conditions), await room.addMachine(conditions)];
  const keep = (process_: CliProcess) => {
    started.push(process_);
    return process_;
  };
  const start = ({ prefix }: Machine, args: readonly string[]) => keep(startCli(args, environment, prefix));
  const url = `ws://${here.address}:${port}`;
  return {
    machines,
    startCoordinator: (runDirectory: string, options: readonly string[] = []): CliProcess => {
      const address = ['--host', here.address, '--port', String(port), '--min-workers', '2'];
      return start(here, ['coordinator', ...run, ...address, '--run-dir', runDirectory, ...options]);
    },
    startWorker: (machine: Machine, name: string) =>
      start(machine, ['worker', url, '--engine', 'wasm', '--name', name, '--no-cache']),
    /** Starts a worker that pauses after the second step until its parent sends a message. */
    startHeldWorker: ({ prefix }: Machine, name: string) =>
      keep(startHelper('announcing-worker.mjs', [url, name, '2'], environment, prefix)),
  };
}

describe.skipIf(noRoom !== undefined)('the weights are those of a run without faults over a network', () => {
  it.skipIf(means === undefined).concurrent(
    'with a delay of 50 ms in each direction and 1% packet loss',
    async (context) => {
      const { machines, startCoordinator, startWorker } = await network(context, { delayMs: 50, loss: 0.01 });
      const coordinator = startCoordinator(inFolder('bad'));
      await coordinator.says('listening');
      machines.forEach((machine, index) => startWorker(machine, `w${index + 1}`));
      expect(await coordinator.exited).toBe(0);
      const report = await readReport(inFolder('bad'));
      expect(report).toMatchObject({ weightsSha256: faultless, exact: true, workersJoined: 2, workersLost: 0 });
      // Proves that the delay is in effect: each step needs a round trip to the workers, which takes at least 100 ms.
      expect(Number(report['wallSeconds'])).toBeGreaterThan(0.1 * steps);
    },
  );

  it.concurrent('with a cable unplugged for 15 s: both sides notice, and the worker joins again', async (context) => {
    const { machines, startCoordinator, startWorker, startHeldWorker } = await network(context);
    const runDirectory = inFolder('pulled');
    // No step starts with fewer than two workers. The heartbeat timeout is the default of 10 s.
    const coordinator = startCoordinator(runDirectory, ['--pause-below', '2']);
    await coordinator.says('listening');
    // The second worker pauses, which keeps the run from ending before the cable is unplugged.
    const workers = [startWorker(machines[0], 'w1'), startHeldWorker(machines[1], 'w2')];
    await stepsMade(runDirectory, 2);
    await machines[0].pullCable();
    const pulledMs = performance.now();
    await coordinator.says('w1 disconnected (silent for more than 10 s)');
    await workers[0].says('not connected (the coordinator was silent for more than 10 s)');
    await new Promise((resolve) => setTimeout(resolve, 15_000 - (performance.now() - pulledMs)));
    await machines[0].plugIn();
    workers[1].child.send('continue');
    expect(await coordinator.exited).toBe(0);
    expect(await readReport(runDirectory)).toMatchObject({
      weightsSha256: faultless,
      workersJoined: 3,
      workersLost: 1,
    });
    expect(await Promise.all(workers.map(({ exited }) => exited))).toEqual([0, 0]);
  });

  it.concurrent('with a coordinator that cannot be reached at first: its workers keep retrying', async (context) => {
    const { machines, startCoordinator, startWorker } = await network(context);
    await machines[0].pullCable();
    const workers = machines.map((machine, index) => startWorker(machine, `w${index + 1}`));
    // The first worker's cable is unplugged. The second worker reaches the coordinator's machine, but no coordinator is
    // listening yet.
    await workers[0].says(/not connected \(.*EHOSTUNREACH/);
    await workers[1].says(/not connected \(.*ECONNREFUSED/);
    const coordinator = startCoordinator(inFolder('late'));
    await coordinator.says('w2 joined');
    await machines[0].plugIn();
    expect(await coordinator.exited).toBe(0);
    expect(await readReport(inFolder('late'))).toMatchObject({ weightsSha256: faultless, workersLost: 0 });
  });
});

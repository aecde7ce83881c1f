// Commands restart worker processes that crash, and this does not change the weights. Uses real processes.
import { beforeAll, describe, expect, it } from 'vitest';
import { writeCifar10 } from '../../shared/dataset/cifar10.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { readReport, runCli, startCli, type CliProcess } from '../support/cli.js';
import { folderPerFile } from '../support/folder-per-file.js';
import { canListProcesses, processesNamed } from '../support/processes-named.js';

const inFolder = folderPerFile();
let recipe: string[];
let expectedSha256: string;

beforeAll(async () => {
  await writeCifar10(inFolder('images'), synthesizeDataset({ trainingImages: 400, testImages: 100 }));
  const model = ['--depth', '8', '--initial-filters', '4', '--batch-size', '32', '--steps', '60'];
  recipe = [...model, '--data', inFolder('images'), '--no-tensorboard'];
  await runCli(['train', ...recipe, '--engine', 'wasm', '--workers', '1', '--run-dir', inFolder('reference')]);
  expectedSha256 = (await readReport(inFolder('reference'))).weightsSha256;
});

/** Pauses a run. @returns the address of the run and a function that continues it */
async function pause(run: CliProcess): Promise<{ address: string; resume: () => Promise<void> }> {
  const [, address] = await run.says(/dashboard: http:\/\/(\S+)/);
  async function control(action: string): Promise<void> {
    const headers = { 'content-type': 'application/json' };
    const body = JSON.stringify({ action });
    expect((await fetch(`http://${address}/control`, { method: 'POST', headers, body })).status).toBe(200);
  }
  await control('pause');
  return { address, resume: () => control('continue') };
}

const joinedTwice = (name: string) => new RegExp(`${name} joined[^]*${name} joined`);

describe.skipIf(!canListProcesses)('a worker process', () => {
  it('is restarted by train after SIGKILL', async () => {
    const run = startCli(['train', ...recipe, '--engine', 'wasm', '--workers', '2', '--run-dir', inFolder('train')]);
    const { address, resume } = await pause(run);
    for (const name of ['worker-1', 'worker-2']) await run.says(`${name} joined`);
    const [pid] = await processesNamed(`ws://${address} --engine wasm --threads 1`);
    process.kill(pid, 'SIGKILL');
    const [, name] = await run.says(/the process of (worker-\d) exited \(signal SIGKILL\); restarting in 0\.5 s/);
    await run.says(joinedTwice(name));
    await resume();
    expect({ status: await run.exited, output: run.output() }).toMatchObject({ status: 0 });
    expect(await readReport(inFolder('train'))).toMatchObject({
      weightsSha256: expectedSha256,
      workersJoined: 3,
      workersLost: 1,
      exact: true,
    });
  });

  it('is restarted by worker --workers 2 after SIGKILL, but not after SIGTERM', async () => {
    const options = ['--port', '0', '--min-workers', '2', '--run-dir', inFolder('coordinator')];
    const run = startCli(['coordinator', ...recipe, ...options]);
    const { address, resume } = await pause(run);
    const host = `host-${process.pid}`;
    const named = ['--workers', '2', '--name', host, '--no-cache'];
    const workers = startCli(['worker', `ws://${address}`, '--engine', 'wasm', ...named]);
    for (const name of [`${host}-worker-1`, `${host}-worker-2`]) await run.says(`${name} joined`);
    const [killed] = await processesNamed(`--name ${host}-worker-1`);
    process.kill(killed, 'SIGKILL');
    await workers.says(`the process of ${host}-worker-1 exited (signal SIGKILL); restarting in 0.5 s`);
    await run.says(joinedTwice(`${host}-worker-1`));
    const [interrupted] = await processesNamed(`--name ${host}-worker-2`);
    process.kill(interrupted, 'SIGTERM');
    await workers.says(/-worker-2 exited \(exit status 130\): interrupted by SIGTERM$/m);
    await resume();
    expect(await run.exited).toBe(0);
    expect(await workers.exited).toBe(0);
    expect(await readReport(inFolder('coordinator'))).toMatchObject({
      weightsSha256: expectedSha256,
      workersJoined: 3,
      workersLost: 2,
    });
  });

  it('is not restarted if the coordinator refuses it', async () => {
    const run = startCli(['coordinator', ...recipe, '--port', '0', '--run-dir', inFolder('token')], {
      LOCKSTEP_TOKEN: 'token of this test',
    });
    const [, url] = await run.says(/lockstep worker (ws:\S+)/);
    const { status, output } = await runCli(['worker', url, '--engine', 'wasm', '--workers', '2', '--no-cache']);
    expect(output).toMatch(/^lockstep: ws:\S+ refused this worker \(token\): the worker presented no token/m);
    expect(output).not.toContain('restarting');
    expect(status).toBe(1);
    run.child.kill('SIGINT');
    expect(await run.exited).toBe(130);
  });
});

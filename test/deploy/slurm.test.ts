// Runs the job in deploy/slurm on a real Slurm cluster: two tasks produce the same hash as one worker without Slurm,
// even if the job is saved, requeued and restarted partway through.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeCifar10 } from '../../shared/dataset/cifar10.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { readReport, runCli, stepsMade } from '../support/cli.js';
import { folderPerFile } from '../support/folder-per-file.js';
import { sayWhySkipped } from '../support/why-skipped.js';
import { SlurmCluster, until, whyNoSlurm } from './slurm-cluster.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const reason = whyNoSlurm();
if (reason !== undefined) sayWhySkipped('deploy/slurm on a real Slurm', reason);
const inFolder = folderPerFile();
let cluster: SlurmCluster | undefined;
let hash: string;

const steps = 240;
const recipe = () => {
  const model = ['--depth', '8', '--initial-filters', '4', '--batch-size', '32', '--steps', String(steps)];
  return [...model, '--data', inFolder('images'), '--no-tensorboard'];
};

describe.skipIf(reason !== undefined)('the sbatch file', () => {
  beforeAll(async () => {
    await writeCifar10(inFolder('images'), synthesizeDataset({ trainingImages: 400, testImages: 100 }));
    const alone = ['train', ...recipe(), '--workers', '1', '--engine', 'wasm', '--run-dir', inFolder('alone')];
    await runCli(alone);
    hash = (await readReport(inFolder('alone'))).weightsSha256;
    cluster = await SlurmCluster.start(inFolder(''));
  });
  afterAll(() => cluster?.stop());

  /** Submits the job. Returns its ID, a function that reads its log, and its run directory. */
  async function submit(name: string): Promise<{ job: string; log: () => Promise<string>; runDirectory: string }> {
    const runDirectory = inFolder(name);
    const output = inFolder(`${name}.log`);
    const job = await cluster!.command(
      'sbatch',
      ['--parsable', '--ntasks=2', `--output=${output}`, 'deploy/slurm/lockstep.sbatch', ...recipe()],
      {
        LOCKSTEP: `${process.execPath} ${path.join(root, 'dist/cli.js')}`,
        LOCKSTEP_RUN: runDirectory,
        LOCKSTEP_WORKER_OPTIONS: '--engine wasm --no-cache',
      },
      root,
    );
    return { job: job.trim(), log: () => readFile(output, 'utf8'), runDirectory };
  }

  async function ended(job: string): Promise<string> {
    const states = new Set(['COMPLETED', 'FAILED', 'CANCELLED', 'TIMEOUT', 'NODE_FAIL']);
    let state = '';
    await until(async () => {
      const shown = await cluster!.tryCommand('scontrol', 'show', 'job', job);
      state = /JobState=(\S+)/.exec(shown)?.[1] ?? '';
      return states.has(state);
    });
    return state;
  }

  it('trains with two tasks and produces the same hash as one worker without Slurm', async () => {
    const { job, log, runDirectory } = await submit('two-tasks');
    const state = await ended(job);
    expect({ state, log: await log() }).toMatchObject({ state: 'COMPLETED' });
    expect(await readReport(runDirectory)).toMatchObject({ weightsSha256: hash, workersJoined: 2, exact: true });
  });

  it('is requeued by the signal that announces the time limit, and ends with the same hash', async () => {
    const { job, log, runDirectory } = await submit('requeued');
    await until(async () => (await cluster!.tryCommand('scontrol', 'show', 'job', job)).includes('JobState=RUNNING'));
    await until(async () => (await readFile(path.join(runDirectory, 'metrics.jsonl'), 'utf8').catch(() => '')) !== '');
    await stepsMade(runDirectory, 60);
    await cluster!.command('scancel', ['--signal=USR1', '--batch', job]);
    await until(async () => (await cluster!.tryCommand('scontrol', 'show', 'job', job)).includes('Restarts=1'));
    const state = await ended(job);
    const output = await log();
    expect({ state, output }).toMatchObject({ state: 'COMPLETED' });
    expect(output).toContain('the time limit is near: saving and requeueing');
    const [, step] = /resumed after step (\d+) of 240/.exec(output) ?? [];
    expect(Number(step)).toBeGreaterThanOrEqual(60);
    expect(Number(step)).toBeLessThan(steps);
    expect(await readReport(runDirectory)).toMatchObject({ weightsSha256: hash, exact: true });
  });
});

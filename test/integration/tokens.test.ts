// Tokens on the command line: how they can be passed, and that they are not exposed to other users.
import { readFileSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { writeCifar10 } from '../../shared/dataset/cifar10.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { startCli } from '../support/cli.js';
import { folderPerFile } from '../support/folder-per-file.js';

const inFolder = folderPerFile();
const workersToken = 'c2d5a1f09b7e4d38a1b2';
const ownersToken = '5b9d1c7e3f024a86aa55';
let recipe: string[];

beforeAll(async () => {
  await writeCifar10(inFolder('images'), synthesizeDataset({ trainingImages: 100, testImages: 50 }));
  recipe = [
    '--depth',
    '8',
    '--initial-filters',
    '4',
    '--batch-size',
    '32',
    '--steps',
    '2',
    '--data',
    inFolder('images'),
  ];
});

/** Returns the content of all files in a folder as one string. */
async function textIn(folder: string): Promise<string> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
  return (await Promise.all(files.map((file) => readFile(file, 'latin1')))).join('\n');
}

describe('a run that knows tokens from a file', () => {
  it('admits workers with a token from a file or the environment, and writes no token to disk', async () => {
    const folder = inFolder('tokens');
    await mkdir(folder);
    const [tokens, token] = [path.join(folder, 'all'), path.join(folder, 'mine')];
    await writeFile(tokens, `rack worker ${workersToken}\n${ownersToken}\n`);
    await writeFile(token, `${workersToken}\n`);
    const runDirectory = inFolder('run');
    const coordinator = startCli(
      [
        'coordinator',
        ...recipe,
        '--port',
        '0',
        '--min-workers',
        '2',
        '--run-dir',
        runDirectory,
        '--token-file',
        tokens,
      ],
      // The token file takes precedence over the environment.
      { LOCKSTEP_TOKEN: 'of another run' },
    );
    const [, url = ''] = await coordinator.says(/LOCKSTEP_TOKEN=<token> lockstep worker (ws:\S+)/);
    const join = (args: readonly string[], environment: NodeJS.ProcessEnv = {}) =>
      startCli(['worker', url, '--engine', 'wasm', '--no-cache', ...args], environment);
    const pendingConnection = join([], { LOCKSTEP_TOKEN: 'of another run' });
    expect(await pendingConnection.exited).toBe(1);
    expect(pendingConnection.output()).toContain('(token): the worker presented an unknown token');
    const first = join(['--token-file', token]);
    await coordinator.says(' joined ');
    const at = (page: string) => new URL(page, url.replace('ws:', 'http:'));
    const answers = await Promise.all(
      ['/status', '/metrics', '/'].map(async (page) => {
        const answer = await fetch(at(page), { headers: { authorization: `Bearer ${ownersToken}` } });
        expect(answer.status).toBe(200);
        return `${JSON.stringify([...answer.headers])}\n${await answer.text()}`;
      }),
    );
    const workers = [first, join([], { LOCKSTEP_TOKEN: ownersToken })];
    expect(await Promise.all([coordinator, ...workers].map(({ exited }) => exited))).toEqual([0, 0, 0]);
    const written = [
      await textIn(runDirectory),
      ...answers,
      ...[coordinator, ...workers].map((process_) => process_.output()),
    ].join('\n');
    expect(written).toContain('"weightsSha256"');
    expect(written).toContain('lockstep_step_duration_seconds');
    expect(written).not.toContain(workersToken);
    expect(written).not.toContain(ownersToken);
  });
});

describe('a token given as an argument', () => {
  it.skipIf(process.platform !== 'linux')('is not in the process list once the coordinator listens', async () => {
    const args = ['--port', '0', '--run-dir', inFolder('listed'), '--token', ownersToken];
    const coordinator = startCli(['coordinator', ...recipe, ...args]);
    await coordinator.says('waiting for workers');
    expect(coordinator.output()).toContain('LOCKSTEP_TOKEN=<token> lockstep worker');
    const commandLine = readFileSync(`/proc/${coordinator.child.pid}/cmdline`, 'latin1');
    expect(commandLine).toContain('lockstep coordinator');
    expect(commandLine).not.toContain(ownersToken);
    expect(coordinator.output().match(/warning: --token .* use LOCKSTEP_TOKEN or --token-file\n/g)).toHaveLength(1);
    expect(coordinator.output()).not.toContain(ownersToken);
    coordinator.child.kill('SIGINT');
    expect(await coordinator.exited).toBe(130);
  });

  it('causes no warning with --quiet or if it is in the environment', async () => {
    // Nothing listens on port 9, so each worker gives up after a second.
    const args = ['worker', 'ws://127.0.0.1:9', '--engine', 'wasm', '--no-cache', '--reconnect-timeout', '1'];
    const quiet = startCli([...args, '--quiet', '--token', ownersToken]);
    const environment = startCli(args, { LOCKSTEP_TOKEN: ownersToken });
    expect(await Promise.all([quiet.exited, environment.exited])).toEqual([1, 1]);
    expect(quiet.output() + environment.output()).not.toContain('warning');
  });

  it('together with --token-file is an error', async () => {
    const worker = startCli(['worker', 'ws://127.0.0.1:9', '--token', ownersToken, '--token-file', 'mine']);
    expect(await worker.exited).toBe(2);
    expect(worker.output()).toBe('lockstep: --token and --token-file mine are both given: give only one\n');
  });
});

describe('the token that train generates for its workers', () => {
  it.skipIf(process.platform !== 'linux')('is in their environment and in no argument', async () => {
    const args = [
      ...recipe,
      '--steps',
      '1000000',
      '--engine',
      'wasm',
      '--workers',
      '1',
      '--run-dir',
      inFolder('local'),
    ];
    const training = startCli(['train', ...args]);
    await training.says(' joined ');
    const { pid } = training.child;
    const [worker] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
    const [, token = ''] = /LOCKSTEP_TOKEN=([^\0]+)/.exec(readFileSync(`/proc/${worker}/environ`, 'latin1')) ?? [];
    expect(token.length).toBeGreaterThan(20);
    expect(readFileSync(`/proc/${worker}/cmdline`, 'latin1')).toMatch(/cli\.js\0worker\0/);
    for (const process_ of [worker, pid]) {
      expect(readFileSync(`/proc/${process_}/cmdline`, 'latin1')).not.toContain(token);
    }
    training.child.kill('SIGINT');
    expect(await training.exited).toBe(130);
    expect(training.output()).not.toContain(token);
    expect(await textIn(inFolder('local'))).not.toContain(token);
  });
});

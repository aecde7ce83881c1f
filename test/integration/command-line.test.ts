// What users see: error messages that name the option, the value and the remedy; exit statuses; --help.
import { copyFile, mkdir, truncate, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { writeCifar10 } from '../../shared/dataset/cifar10.js';
import { runCli, startCli } from '../support/cli.js';
import { folderPerFile } from '../support/folder-per-file.js';

const inFolder = folderPerFile();

describe('lockstep exits with status 2 for', () => {
  it.each([
    [
      'an unknown option',
      ['train', '--batchsize', '64'],
      /unknown option '--batchsize'\n\(Did you mean --batch-size\?\)\n$/,
    ],
    ['an unknown command', ['trian'], /unknown command 'trian'/],
    ['depth 21', ['train', '--depth', '21'], /--depth is 21: it must be 6n\+2: 20, 32, 44/],
    ['slices that do not divide the batch', ['train', '--slices', '3'], /--slices is 3: .*divides --batch-size.*128/],
    ['text for a number', ['train', '--batch-size', 'many'], /--batch-size is "many": it must be a whole number/],
    ['a rate of 0', ['train', '--learning-rate', '0'], /--learning-rate is 0: it must be a positive number/],
    ['steps and epochs', ['train', '--steps', '3', '--epochs', '2'], /--steps is 3 and --epochs is 2: give only one/],
    ['a setting without a value', ['config', '--set', 'depth'], /--set is "depth": it must be KEY=VALUE/],
    ['a bad setting', ['config', '--set', 'depth=21'], /--set depth is 21: it must be 6n\+2/],
    ['a configuration file that does not exist', ['config', '--config', '/nonexistent'], /nonexistent does not exist/],
    ['a missing argument', ['predict'], /^lockstep: missing required argument 'CHECKPOINT'\n$/],
    ['a setting of an unknown key', ['config', '--set', 'deep=20'], /unknown key "deep" of --set: the keys are/],
    [
      'zero workers',
      ['train', '--workers', '0'],
      /^lockstep: --workers is "0": it must be a whole number from 1 to 4096\n$/,
    ],
    ['a port out of range', ['coordinator', '--port', '70000'], /--port is "70000": .*from 0 to 65535/],
    [
      'a precision that the engine does not support',
      ['train', '--engine', 'wasm', '--precision', 'bfloat16'],
      /^lockstep: --precision .*tensorflow/,
    ],
    [
      'an unknown engine',
      ['train', '--engine', 'abacus'],
      /^lockstep: --engine is "abacus": it must be auto, tensorflow, wasm, wasm-fma, webgpu\n$/,
    ],
    [
      'a public address without a token',
      ['coordinator', '--host', '0.0.0.0'],
      /--host is 0\.0\.0\.0.*LOCKSTEP_TOKEN or --token-file/,
    ],
    ['--override without --resume', ['train', '--override'], /--override is given without --resume/],
    ['a worker without a name', ['worker', 'ws://127.0.0.1:1', '--name', ''], /--name is "": omit it/],
    ['a folder without images', ['train', '--data', '/nonexistent'], /\/nonexistent/],
  ])('%s', async (_what, args, message) => {
    const { status, output } = await runCli(args);
    expect(output).toMatch(message);
    expect(status).toBe(2);
  });

  it.each([[''], ['--resume']])(
    'an unknown key in a configuration file, and names the file and the keys: train %s',
    async (more) => {
      const file = inFolder('config.json');
      await writeFile(file, JSON.stringify({ seed: 1, batchsize: 64 }));
      const { status, output } = await runCli(['train', '--config', file, ...(more === '' ? [] : [more])]);
      expect(output).toMatch(/unknown key "batchsize" in .*config\.json \(did you mean batchSize\?\): the keys are/);
      expect(status).toBe(2);
    },
  );

  it('a bad value in a configuration file, and names the file', async () => {
    const file = inFolder('values.json');
    await writeFile(file, JSON.stringify({ momentum: 1.5 }));
    const { status, output } = await runCli(['train', '--config', file]);
    expect(output).toMatch(/momentum in .*values\.json is 1\.5: it must be a number of at least 0 and below 1/);
    expect(status).toBe(2);
  });

  it.each([
    ['[1]', 'is not a valid configuration file: the top-level value is not an object'],
    ['{', 'is not a JSON file: '],
  ])('a configuration file with the content %s, and says what is wrong', async (content, problem) => {
    const file = inFolder('content.json');
    await writeFile(file, content);
    const { status, output } = await runCli(['config', '--config', file]);
    expect(output).toContain(`--config ${file} ${problem}`);
    expect(output).toContain('; to create a valid file, run `lockstep config > FILE`');
    expect(status).toBe(2);
  });

  it('a data folder with a truncated file, and names the file, its size and the expected size', async () => {
    const good = inFolder('good');
    await writeCifar10(good, synthesizeDataset({ trainingImages: 500, testImages: 100 }));
    const short = inFolder('short');
    await mkdir(short);
    const names = ['batches.meta.txt', ...[1, 2, 3, 4, 5].map((n) => `data_batch_${n}.bin`), 'test_batch.bin'];
    for (const name of names) await copyFile(path.join(good, name), path.join(short, name));
    await truncate(path.join(short, 'data_batch_3.bin'), 100 * 3073 - 1);
    const { status, output } = await runCli(['train', '--data', short]);
    expect(output).toMatch(/data_batch_3\.bin/);
    expect(output).toMatch(/307[,.]?299/);
    expect(output).toMatch(/307[,.]?300/);
    expect(status).toBe(2);
  });
});

describe('lockstep exits with status 1', () => {
  it('if the port is in use, and names the option', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const data = inFolder('few');
    await writeCifar10(data, synthesizeDataset({ trainingImages: 500, testImages: 100 }));
    const { status, output } = await runCli(['coordinator', '--port', String(port), '--data', data]);
    server.close();
    expect(output).toContain(`port ${port} on 127.0.0.1 is in use: choose another with --port`);
    expect(status).toBe(1);
  });

  const ownBinding = existsSync(path.resolve('node_modules/@tensorflow/tfjs-node-gpu/lib'));
  it.skipIf(ownBinding)('if the engine is not installed, and names the command that installs it', async () => {
    const home = inFolder('empty-home');
    const args = ['worker', 'ws://127.0.0.1:9', '--engine', 'tensorflow'];
    const { status, output } = await runCli(args, { LOCKSTEP_HOME: home });
    expect(output).toMatch(/lockstep setup-tensorflow/);
    expect(status).toBe(1);
  });
});

describe('lockstep', () => {
  it('without a command prints its help, and exits with status 2', async () => {
    const { status, output } = await runCli([]);
    expect(output).toMatch(/Training:\n {2}start[\s\S]*Preparation:\n[\s\S]*Results:\n {2}evaluate/);
    expect(status).toBe(2);
  });

  it('prints a stack trace only with LOCKSTEP_DEBUG=1', async () => {
    const [plain, debug] = await Promise.all([
      runCli(['summary', inFolder('nowhere')]),
      runCli(['summary', inFolder('nowhere')], { LOCKSTEP_DEBUG: '1' }),
    ]);
    expect(plain.output).toBe(
      `lockstep: no checkpoint found at ${inFolder('nowhere')}: specify a checkpoint's directory or a run directory\n`,
    );
    expect(debug.output).toMatch(/^lockstep: no checkpoint found[\s\S]*\n {4}at /);
  });

  it('continues if the reader of its output closes the pipe', async () => {
    const summary = startCli(['summary', '--depth', '1202']);
    summary.child.stdout?.once('data', () => summary.child.stdout?.destroy());
    expect({ status: await summary.exited, output: summary.output() }).toMatchObject({ status: 0 });
    expect(summary.output()).not.toContain('EPIPE');
  });
});

describe('lockstep --help', () => {
  it('lists the commands, and for each command its options with their defaults', async () => {
    const { status, output } = await runCli(['--help']);
    expect(status).toBe(0);
    for (const command of ['train', 'coordinator', 'worker', 'data', 'setup-tensorflow'])
      expect(output).toContain(`\n  ${command} `);
    const train = await runCli(['train', '--help']);
    expect(train.output).toMatch(/--batch-size <B>\s+images per global batch \(default: 128\)/);
  });
});

describe('lockstep config', () => {
  it('prints JSON for --config, in which flags override --set, --set overrides --config, and all override the recipe', async () => {
    const first = await runCli(['config', '--recipe', 'fast', '--steps', '7', '--set', 'seed=3', '--set', 'data=here']);
    expect(first.status).toBe(0);
    expect(JSON.parse(first.output)).toMatchObject({ recipe: 'fast', steps: 7, epochs: null, seed: 3, data: 'here' });
    const file = inFolder('resolved.json');
    await writeFile(file, first.output);
    const again = await runCli(['config', '--config', file]);
    expect(again.output).toBe(first.output);
    const args = ['--set', 'seed=4', '--set', 'depth=32', '--depth', '44', '--set', 'epochs=2'];
    const changed = await runCli(['config', '--config', file, ...args]);
    expect(JSON.parse(changed.output)).toMatchObject({ seed: 4, depth: 44, steps: null, epochs: 2, nesterov: true });
  });
});

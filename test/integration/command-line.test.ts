// What a person sees of mistakes: the message names the field, the value and the remedy; the exit status is the documented one.
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

describe('lockstep refuses, with status 2,', () => {
  it.each([
    ['an unknown option', ['train', '--batchsize', '64'], /unknown option '--batchsize'[\s\S]*--batch-size/],
    ['an unknown command', ['trian'], /unknown command 'trian'/],
    ['depth 21', ['train', '--depth', '21'], /--depth is 21: it must be 6n\+2: 20, 32, 44/],
    ['slices that do not divide the batch', ['train', '--slices', '3'], /--slices is 3: .*divides --batch-size.*128/],
    ['text for a number', ['train', '--batch-size', 'many'], /--batch-size is "many": it must be a whole number/],
    ['a rate of 0', ['train', '--learning-rate', '0'], /--learning-rate is 0: it must be a positive number/],
    ['two lengths', ['train', '--steps', '3', '--epochs', '2'], /--steps is 3 and --epochs is 2: give one/],
    ['a setting without a value', ['config', '--set', 'depth'], /--set is "depth": it must be KEY=VALUE/],
    ['a bad setting', ['config', '--set', 'depth=21'], /--set depth is 21: it must be 6n\+2/],
    ['a configuration file that is not there', ['config', '--config', '/nonexistent'], /nonexistent does not exist/],
    ['a missing argument', ['predict'], /^lockstep: missing required argument 'CHECKPOINT'\n\(--help lists/],
    ['a setting of an unknown key', ['config', '--set', 'deep=20'], /unknown key "deep" of --set: the keys are/],
    ['no workers', ['train', '--workers', '0'], /--workers is "0": it must be a whole number from 1/],
    ['a port out of range', ['coordinator', '--port', '70000'], /--port is "70000": .*from 0 to 65535/],
    [
      'of one engine what the other has',
      ['train', '--engine', 'wasm', '--precision', 'bfloat16'],
      /^lockstep: \S*precision\S* bfloat16 needs the tensorflow engine/,
    ],
    ['another engine', ['train', '--engine', 'abacus'], /'abacus' is invalid.*tensorflow/],
    [
      'an open address without a token',
      ['coordinator', '--host', '0.0.0.0'],
      /--host is 0\.0\.0\.0.*LOCKSTEP_TOKEN or --token-file/,
    ],
    ['a change of nothing', ['train', '--override'], /--override is given without --resume/],
    ['a worker without a name', ['worker', 'ws://127.0.0.1:1', '--name', ''], /--name is "": it must be a name/],
    ['a folder without images', ['train', '--data', '/nonexistent'], /\/nonexistent/],
  ])('%s', async (_what, args, message) => {
    const { status, output } = await runCli(args);
    expect(output).toMatch(message);
    expect(status).toBe(2);
  });

  it.each([[''], ['--resume']])(
    'an unknown key in a configuration file, with the file and the keys: train %s',
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

  it('a data folder with a short file, naming it with the size found and the size expected', async () => {
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

describe('lockstep fails, with status 1,', () => {
  it('on a port in use, and names the option', async () => {
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
  it.skipIf(ownBinding)('without an engine, and names the command that installs one', async () => {
    const home = inFolder('empty-home');
    const args = ['worker', 'ws://127.0.0.1:9', '--engine', 'tensorflow'];
    const { status, output } = await runCli(args, { LOCKSTEP_HOME: home });
    expect(output).toMatch(/lockstep setup-tensorflow/);
    expect(status).toBe(1);
  });
});

describe('lockstep', () => {
  it('alone says what there is, and that this was not enough', async () => {
    const { status, output } = await runCli([]);
    expect(output).toMatch(/Train:\n {2}start[\s\S]*Before a run:\n[\s\S]*With what was trained:\n {2}evaluate/);
    expect(status).toBe(2);
  });

  it('shows where an error comes from to who asks, and no stack to others', async () => {
    const [plain, asked] = await Promise.all([
      runCli(['summary', inFolder('nowhere')]),
      runCli(['summary', inFolder('nowhere')], { LOCKSTEP_DEBUG: '1' }),
    ]);
    expect(plain.output).toBe(
      `lockstep: there is no checkpoint at ${inFolder('nowhere')}: name a checkpoint's directory or a run directory\n`,
    );
    expect(asked.output).toMatch(/^lockstep: there is no checkpoint[\s\S]*\n {4}at /);
  });

  it('does not mind who has read enough of its output', async () => {
    const summary = startCli(['summary', '--depth', '1202']);
    summary.child.stdout?.once('data', () => summary.child.stdout?.destroy());
    expect({ status: await summary.exited, output: summary.output() }).toMatchObject({ status: 0 });
    expect(summary.output()).not.toContain('EPIPE');
  });
});

describe('lockstep --help', () => {
  it('names every command, and each command its options with their defaults', async () => {
    const { status, output } = await runCli(['--help']);
    expect(status).toBe(0);
    for (const command of ['train', 'coordinator', 'worker', 'data', 'setup-tensorflow'])
      expect(output).toContain(command);
    const train = await runCli(['train', '--help']);
    expect(train.output).toMatch(/--batch-size <B>\s+images in a global batch \(default: 128\)/);
  });
});

describe('lockstep config', () => {
  it('prints what --config reads: flags over settings, settings over the file, all over the recipe', async () => {
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

import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Command, CommanderError } from 'commander';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { addDataCommands } from '../../../cli/prepare/data.js';
import { archiveFile } from '../../../shared/dataset/download.js';
import { LockstepError } from '../../../shared/errors.js';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lockstep-data-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

interface Outcome {
  out: string;
  err: string;
  error: unknown;
}

async function lockstep(...words: string[]): Promise<Outcome> {
  const outcome: Outcome = { out: '', err: '', error: undefined };
  const program = new Command('lockstep').exitOverride().configureOutput({
    writeOut: (text) => (outcome.out += text),
    writeErr: (text) => (outcome.err += text),
  });
  addDataCommands(program);
  try {
    await program.parseAsync(words, { from: 'user' });
  } catch (error) {
    outcome.error = error;
  }
  return outcome;
}

describe('lockstep data synthesize', () => {
  it('writes a set that data verify finds sound, with every class counted', async () => {
    const drawn = await lockstep('data', 'synthesize', folder, '--training-images', '20', '--test-images', '10');
    expect(drawn.error).toBeUndefined();
    expect(drawn.out).toContain('Drawing 20 training and 10 test images from seed 0.');
    expect(drawn.out).toContain(`--data ${folder}`);

    const verified = await lockstep('data', 'verify', folder);
    expect(verified.error).toBeUndefined();
    expect(verified.out).toMatch(/^data_batch_5\.bin +4$/m);
    expect(verified.out).toMatch(/^test_batch\.bin +10$/m);
    // Every ten images hold each class once.
    expect(verified.out).toMatch(/^striped disc +2 +1$/m);
    expect(verified.out).toMatch(/^all +20 +10$/m);
    expect(verified.out).toContain('is sound');
  });

  it('makes the seed decide', async () => {
    const hashes: string[] = [];
    for (const seed of ['1', '1', '2']) {
      const directory = path.join(folder, String(hashes.length));
      await lockstep('data', 'synthesize', directory, '--seed', seed, '--training-images', '5', '--test-images', '1');
      hashes.push(
        createHash('sha256')
          .update(await readFile(path.join(directory, 'test_batch.bin')))
          .digest('hex'),
      );
    }
    expect(hashes[0]).toBe(hashes[1]);
    expect(hashes[0]).not.toBe(hashes[2]);
  });

  it('replaces a set only with --force', async () => {
    const small = ['data', 'synthesize', folder, '--training-images', '5', '--test-images', '1'];
    await lockstep(...small);
    const refused = await lockstep(...small);
    expect(refused.error).toBeInstanceOf(LockstepError);
    expect(refused.error).toMatchObject({ code: 'bad-data' });
    expect(refused.out).toBe('');
    expect((await lockstep(...small, '--force')).error).toBeUndefined();
  });

  it.each([
    ['--seed', '-1', '0 to 9007199254740991'],
    ['--seed', '1e3', '0 to 9007199254740991'],
    ['--seed', '0x10', '0 to 9007199254740991'],
    ['--seed', '9007199254740992', '0 to 9007199254740991'],
    ['--training-images', '4', '5 to 1000000'],
    ['--training-images', '12.5', '5 to 1000000'],
    ['--test-images', '0', '1 to 1000000'],
    ['--test-images', '', '1 to 1000000'],
  ])('refuses %s "%s" and says what is allowed', async (option, value, allowed) => {
    const { error, err } = await lockstep('data', 'synthesize', folder, `${option}=${value}`);
    expect(error).toBeInstanceOf(CommanderError);
    expect(err).toContain(`option '${option} <N>' argument '${value}' is invalid`);
    expect(err).toContain(`a whole number from ${allowed}`);
    expect(await readdir(folder)).toEqual([]);
  });
});

it.each(['synthesize', 'download'])('lockstep data %s does not take a file for its folder', async (command) => {
  const file = path.join(folder, 'file');
  await writeFile(file, 'mine');
  const { error, out } = await lockstep('data', command, file);
  expect(error).toMatchObject({
    code: 'bad-data',
    message: `DIR is ${file}, which is a file: name a folder for the images`,
  });
  expect(out).toBe('');
  expect(await readFile(file, 'utf8')).toBe('mine');
});

describe('lockstep data verify', () => {
  it('throws what is wrong and prints nothing as if it were right', async () => {
    await lockstep('data', 'synthesize', folder, '--training-images', '5', '--test-images', '1');
    await truncate(path.join(folder, 'data_batch_1.bin'), 100);
    const { error, out } = await lockstep('data', 'verify', folder);
    expect(error).toBeInstanceOf(LockstepError);
    expect(error).toMatchObject({ code: 'bad-data' });
    expect(out).toBe('');
  });
});

describe('lockstep data download', () => {
  it('refuses an archive that was put there incomplete', async () => {
    await writeFile(path.join(folder, archiveFile), 'not an archive');
    const { error } = await lockstep('data', 'download', folder);
    expect(error).toMatchObject({ code: 'download-failed' });
    expect(existsSync(path.join(folder, archiveFile))).toBe(true);
  });

  it.each(['ftp://example.org/cifar.tar.gz', 'cifar.tar.gz'])('refuses the address %s', async (url) => {
    const { error, err } = await lockstep('data', 'download', folder, '--url', url);
    expect(error).toBeInstanceOf(CommanderError);
    expect(err).toContain(`argument '${url}' is invalid`);
    expect(err).toContain('https://');
  });
});

describe('help', () => {
  it('lists the commands, their defaults and examples', async () => {
    const { out } = await lockstep('data', '--help');
    for (const words of ['download', 'verify', 'synthesize', 'Examples:']) expect(out).toContain(words);
    expect((await lockstep('data', 'synthesize', '--help')).out).toContain('(default: 50000)');
    expect((await lockstep('data', 'download', '--help')).out).toContain('cifar-10-binary.tar.gz');
  });
});

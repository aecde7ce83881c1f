import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { archiveFile } from '../../../shared/dataset/download.js';
import { LockstepError } from '../../../shared/errors.js';
import { runProgram } from '../../support/program.js';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lockstep-data-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe('lockstep data synthesize', () => {
  it('writes images that data verify accepts, and counts by class', async () => {
    const synthesized = await runProgram(
      'data',
      'synthesize',
      folder,
      '--training-images',
      '20',
      '--test-images',
      '10',
    );
    expect(synthesized.error).toBeUndefined();
    expect(synthesized.out).toContain('Synthesizing 20 training and 10 test images from seed 0.');
    expect(synthesized.out).toContain(`--data ${folder}`);

    const verified = await runProgram('data', 'verify', folder);
    expect(verified.error).toBeUndefined();
    expect(verified.out).toMatch(/^data_batch_5\.bin +4$/m);
    expect(verified.out).toMatch(/^test_batch\.bin +10$/m);
    // Each group of ten consecutive images contains every class once.
    expect(verified.out).toMatch(/^striped disc +2 +1$/m);
    expect(verified.out).toMatch(/^all +20 +10$/m);
    expect(verified.out).toContain('is valid');
  });

  it('writes images that depend on the seed only', async () => {
    const hashes: string[] = [];
    for (const seed of ['1', '1', '2']) {
      const directory = path.join(folder, String(hashes.length));
      await runProgram('data', 'synthesize', directory, '--seed', seed, '--training-images', '5', '--test-images', '1');
      hashes.push(
        createHash('sha256')
          .update(await readFile(path.join(directory, 'test_batch.bin')))
          .digest('hex'),
      );
    }
    expect(hashes[0]).toBe(hashes[1]);
    expect(hashes[0]).not.toBe(hashes[2]);
  });

  it('replaces existing images only with --force', async () => {
    const small = ['data', 'synthesize', folder, '--training-images', '5', '--test-images', '1'];
    await runProgram(...small);
    const refused = await runProgram(...small);
    expect(refused.error).toBeInstanceOf(LockstepError);
    expect(refused.error).toMatchObject({ code: 'bad-data' });
    expect(refused.out).toBe('');
    expect((await runProgram(...small, '--force')).error).toBeUndefined();
  });

  it.each([
    ['--seed', '-1', 'of at least 0'],
    ['--seed', '1.5', 'of at least 0'],
    ['--seed', '9007199254740992', 'of at least 0'],
    ['--training-images', '4', 'from 5 to 1000000'],
    ['--training-images', '12.5', 'from 5 to 1000000'],
    ['--test-images', '0', 'from 1 to 1000000'],
    ['--test-images', '', 'from 1 to 1000000'],
  ])('rejects %s "%s" and names the allowed values', async (option, value, allowed) => {
    const { error } = await runProgram('data', 'synthesize', folder, `${option}=${value}`);
    expect(error).toMatchObject({
      code: 'bad-option',
      message: `${option} is ${JSON.stringify(value)}: it must be a whole number ${allowed}`,
    });
    expect(await readdir(folder)).toEqual([]);
  });
});

it.each(['synthesize', 'download'])('lockstep data %s rejects a file as its folder', async (command) => {
  const file = path.join(folder, 'file');
  await writeFile(file, 'mine');
  const { error, out } = await runProgram('data', command, file);
  expect(error).toMatchObject({
    code: 'bad-data',
    message: `DIR is ${file}, which is a file: specify a folder for the images`,
  });
  expect(out).toBe('');
  expect(await readFile(file, 'utf8')).toBe('mine');
});

describe('lockstep data verify', () => {
  it('fails for a damaged file, without printing counts', async () => {
    await runProgram('data', 'synthesize', folder, '--training-images', '5', '--test-images', '1');
    await truncate(path.join(folder, 'data_batch_1.bin'), 100);
    const { error, out } = await runProgram('data', 'verify', folder);
    expect(error).toBeInstanceOf(LockstepError);
    expect(error).toMatchObject({ code: 'bad-data' });
    expect(out).toBe('');
  });
});

describe('lockstep data download', () => {
  it('rejects an incomplete archive in the folder', async () => {
    await writeFile(path.join(folder, archiveFile), 'not an archive');
    const { error } = await runProgram('data', 'download', folder);
    expect(error).toMatchObject({ code: 'download-failed' });
    expect(existsSync(path.join(folder, archiveFile))).toBe(true);
  });

  it.each(['ftp://example.org/cifar.tar.gz', 'cifar.tar.gz'])('rejects the URL %s', async (url) => {
    const { error } = await runProgram('data', 'download', folder, '--url', url);
    expect(error).toMatchObject({
      code: 'bad-option',
      message: `--url is ${url}: it must begin with https:// or http://`,
    });
  });
});

describe('lockstep data --help', () => {
  it('lists the subcommands, their defaults and examples', async () => {
    const { out } = await runProgram('data', '--help');
    for (const text of ['download', 'verify', 'synthesize', 'Examples:']) expect(out).toContain(text);
    expect((await runProgram('data', 'synthesize', '--help')).out).toMatch(/\(default:\s+50000\)/);
    expect((await runProgram('data', 'download', '--help')).out).toContain('cifar-10-binary.tar.gz');
  });
});

import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { archiveFile } from '../../../shared/dataset/download.js';
import { LockstepError } from '../../../shared/errors.js';
import { runCli, startCli } from '../../support/cli.js';
import { noiseImage, writeImages } from '../../support/image-files.js';
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

  it('takes the name of a dataset and a folder, and finds files that are already complete', async () => {
    await writeFile(path.join(folder, 'cifar-100-binary.tar.gz'), 'not an archive');
    const { error } = await runProgram('data', 'download', 'cifar100', folder);
    expect(error).toMatchObject({
      code: 'download-failed',
      message: expect.stringContaining('is not the official archive, which has 168513733 bytes'),
    });
  });

  it('rejects the name of an unknown dataset', async () => {
    const { error } = await runProgram('data', 'download', 'imagenet', folder);
    expect(error).toMatchObject({
      code: 'bad-option',
      message: 'NAME is imagenet: it must be one of cifar10, cifar100, mnist, fashion-mnist',
    });
  });
});

describe('lockstep data import, info and verify', () => {
  let photos = '';
  let packed = '';
  beforeEach(async () => {
    photos = path.join(folder, 'photos');
    packed = path.join(folder, 'packed');
    await writeImages(photos, {
      'cats/1.png': noiseImage(50, 40, 1),
      'cats/2.png': 'not an image',
      'dogs/1.jpg': noiseImage(30, 40, 2),
    });
  });

  it('write, describe and check a packed dataset', async () => {
    const imported = await runProgram('data', 'import', photos, packed, '--image-size', '32');
    expect(imported.error).toBeUndefined();
    expect(imported.err).toContain('importing: 3 images of 3 images');
    expect(imported.err).toContain(
      'lockstep: warning: skipped 1 file that cannot be read as images: cats/2.png (not an image in a supported format)',
    );
    expect(imported.out).toMatch(/^images +32×32, RGB, cropped to this size$/m);
    expect(imported.out).toContain(`Wrote them to ${packed}; train with --data ${packed}.`);
    expect((await runProgram('data', 'import', photos, packed, '--image-size', '32')).out).toContain('is up to date');

    const verified = await runProgram('data', 'verify', packed);
    expect(verified.out).toMatch(/^cats +1$/m);
    expect(verified.out).toContain(`${packed} is valid: every file has the SHA-256 in its manifest.`);
    await writeFile(path.join(packed, 'training.bin'), new Uint8Array(2 * 3073));
    const damaged = await runProgram('data', 'verify', packed);
    expect(damaged.error).toMatchObject({ code: 'bad-data', message: expect.stringContaining('its SHA-256 is') });
    expect(damaged.out).toBe('');
  });

  it('describe an image folder with the hashes of its import', async () => {
    await runProgram('data', 'import', photos, packed);
    const [info, infoOfPacked] = await Promise.all(
      [photos, packed].map(async (location) => JSON.parse((await runProgram('data', 'info', location, '--json')).out)),
    );
    expect(info).toMatchObject({
      format: 'images',
      description: { name: 'photos', height: 64, width: 64, channels: 3, classNames: ['cats', 'dogs'], fit: 'crop' },
      splits: { training: { records: 2, perClass: [1, 1] }, validation: null, test: null },
      import: { skipped: [{ file: 'cats/2.png' }] },
    });
    expect(infoOfPacked).toMatchObject({ format: 'packed', splits: info.splits });
  });

  it('describe other formats', async () => {
    await runProgram('data', 'synthesize', packed, '--training-images', '20', '--test-images', '10');
    const { out } = await runProgram('data', 'info', packed);
    expect(out).toMatch(/^images +32×32, RGB$/m);
    expect(out).toMatch(/^test +10 +[0-9a-f]{64}$/m);
    expect(out).toMatch(/^all +20 +10$/m);
  });

  it('replace a different dataset only with --force', async () => {
    await runProgram('data', 'import', photos, packed);
    await cp(photos, path.join(folder, 'others'), { recursive: true });
    const refused = await runProgram('data', 'import', path.join(folder, 'others'), packed);
    expect(refused.error).toMatchObject({ code: 'bad-data' });
    expect((await runProgram('data', 'import', path.join(folder, 'others'), packed, '--force')).error).toBeUndefined();
  });

  it('stop on Ctrl-C with the exit status 130, and resume', async () => {
    const png = await noiseImage(200, 200, 1).png().toBuffer();
    await writeImages(photos, Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`cats/more-${i}.png`, png])));
    const args = ['data', 'import', photos, packed, '--processes', '1'];
    const running = startCli(args);
    await running.says(/importing: 2\d\d images of 2,003 images/);
    running.child.kill('SIGINT');
    expect(await running.exited).toBe(130);
    expect(running.output()).toMatch(/the import was interrupted after \d+ of 2003 images: run the command again/);
    const resumed = await runCli(args);
    expect(resumed.status).toBe(0);
    // A new import would begin with 1 image.
    expect(resumed.output).toMatch(/^importing: \d+ images of 2,003 images/);
    expect(resumed.output).toMatch(/^training +2,002 /m);
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

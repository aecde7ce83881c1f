import { readFile, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import * as fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { importDataset } from '../../datasets/import-dataset.js';
import { parseManifest, readManifest } from '../../datasets/packed/manifest.js';
import { openPackedDataset, writePackedDataset } from '../../datasets/packed/packed-dataset.js';
import { readDataset } from '../../datasets/read-dataset.js';
import type { Dataset } from '../../shared/dataset/description.js';
import { bytesOf } from '../../shared/dataset/records.js';
import { LockstepError } from '../../shared/errors.js';
import { writeIdx } from '../support/idx-files.js';
import { temporaryFolder } from '../support/temporary-folder.js';

const dataset: Dataset = {
  description: { name: 'tiny', height: 1, width: 2, channels: 1, classNames: ['no', 'yes'], fit: 'squeeze' },
  training: Uint8Array.of(0, 10, 11, 1, 20, 21),
  validation: Uint8Array.of(1, 30, 31),
  test: null,
  source: 'a test',
};

let folder = '';
beforeEach(async () => {
  folder = await temporaryFolder();
  await writePackedDataset(folder, dataset, null);
});

async function editManifest(edit: (text: string) => string): Promise<void> {
  const file = path.join(folder, 'manifest.json');
  await writeFile(file, edit(await readFile(file, 'utf8')));
}

function outcomeOf(manifest: string): unknown {
  try {
    parseManifest(manifest, 'manifest.json');
    return 'read';
  } catch (error) {
    return error instanceof LockstepError ? error.code : error;
  }
}

describe('a packed dataset', () => {
  it('reads as it was written', async () => {
    expect(await readDataset(folder)).toEqual({ ...dataset, source: `a test (packed in ${folder})` });
  });

  it('keeps whether images may be flipped', async () => {
    const description = { ...dataset.description, flippable: false };
    await writePackedDataset(folder, { ...dataset, description }, null);
    expect((await readDataset(folder)).description).toEqual(description);
  });

  it('may have labels of two bytes', async () => {
    const classNames = Array.from({ length: 300 }, (_, label) => `class ${label}`);
    const wide: Dataset = {
      ...dataset,
      description: { ...dataset.description, classNames },
      training: Uint8Array.of(0x2b, 1, 5, 6),
      validation: null,
    };
    const { splits } = await writePackedDataset(folder, wide, null);
    expect(splits.training.perClass[299]).toBe(1);
    expect((await readDataset(folder)).training).toEqual(wide.training);
  });

  it('that is large stays in its files, which are verified', async () => {
    const manifest = (await readManifest(folder))!;
    // Nine bytes in total.
    expect((await openPackedDataset(folder, manifest, 9)).training).toEqual(dataset.training);
    const { training, validation, test } = await openPackedDataset(folder, manifest, 8);
    expect(training).not.toBeInstanceOf(Uint8Array);
    expect(await bytesOf(training, 1, 5)).toEqual(dataset.training.subarray(1, 5));
    expect(await bytesOf(validation!, 0, 3)).toEqual(dataset.validation);
    expect(test).toBeNull();
    const copy = path.join(folder, 'copy');
    await writePackedDataset(copy, { ...dataset, training, validation }, null);
    expect((await readDataset(copy)).training).toEqual(dataset.training);
    await writeFile(path.join(folder, 'training.bin'), Uint8Array.of(0, 10, 11, 1, 20, 22));
    await expect(openPackedDataset(folder, manifest, 8)).rejects.toThrow(/training\.bin is damaged: its SHA-256 is/);
    await truncate(path.join(folder, 'validation.bin'), 2);
    await expect(bytesOf(validation!, 0, 3)).rejects.toThrow(/validation\.bin ends at byte 2: it was changed/);
  });

  const failures: [name: string, damage: () => Promise<void>, message: RegExp][] = [
    [
      'a changed pixel',
      async () => writeFile(path.join(folder, 'training.bin'), Uint8Array.of(0, 10, 11, 1, 20, 22)),
      /training\.bin is damaged: its SHA-256 is [0-9a-f]{64}, expected [0-9a-f]{64}/,
    ],
    ['a truncated file', async () => truncate(path.join(folder, 'validation.bin'), 1), /has 1 bytes, expected 3/],
    ['a manifest that is not JSON', async () => editManifest((text) => text.slice(0, 80)), /is not valid JSON/],
    [
      'a manifest of a newer version',
      async () => editManifest((text) => text.replace('"version": 1', '"version": 2')),
      /has the version 2; this version of Lockstep reads version 1/,
    ],
    [
      'a wrong count',
      async () => editManifest((text) => text.replace('"records": 2', '"records": 3')),
      /splits\.training\.perClass has 2 classes and 2 images, expected 2 and 3/,
    ],
    [
      'an image size that is too large',
      async () => editManifest((text) => text.replace('"height": 1', '"height": 999999')),
      /description\.height: Too big/,
    ],
  ];
  it.each(failures)('with %s is refused', async (_, damage, message) => {
    await damage();
    await expect(readDataset(folder)).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringMatching(message),
    });
  });

  it('with a malformed manifest is refused, whatever is wrong with it', async () => {
    const text = await readFile(path.join(folder, 'manifest.json'), 'utf8');
    const manifest = JSON.parse(text) as Record<string, unknown>;
    const runs = Number(process.env['LOCKSTEP_HOSTILE_MESSAGES'] ?? 2000);
    const keys = fc.constantFrom('description', 'splits', 'import', 'source', 'version');
    fc.assert(
      fc.property(keys, fc.jsonValue(), fc.nat(text.length), fc.string(), (key, value, position, inserted) => {
        for (const candidate of [
          JSON.stringify({ ...manifest, [key]: value }),
          text.slice(0, position) + inserted + text.slice(position + 1),
        ]) {
          expect(['read', 'bad-data']).toContain(outcomeOf(candidate));
        }
      }),
      { numRuns: runs },
    );
  });
});

describe('importDataset', () => {
  it('converts other formats', async () => {
    const source = await temporaryFolder();
    await writeIdx(source);
    const target = path.join(await temporaryFolder(), 'packed');
    await importDataset(source, target);
    const [original, packed] = [await readDataset(source), await readDataset(target)];
    expect(packed).toEqual({ ...original, source: `${original.source} (packed in ${target})` });
  });

  it('replaces a different dataset only if requested', async () => {
    const source = await temporaryFolder();
    await writeIdx(source);
    await expect(importDataset(source, folder)).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringContaining('already holds a different dataset (a test)'),
    });
    await importDataset(source, folder, { overwrite: true });
    expect((await readDataset(folder)).description.height).toBe(28);
  });

  it('does not write into a folder with other files', async () => {
    const other = await temporaryFolder();
    await writeFile(path.join(other, 'notes.txt'), 'mine');
    await expect(importDataset(folder, other, { overwrite: true })).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringContaining('is not empty: it contains notes.txt'),
    });
  });
});

describe('readDataset explains', () => {
  const folders: [name: string, files: readonly string[], message: RegExp][] = [
    ['an empty folder', [], /is not a dataset: it is empty\. Expected CIFAR-10/],
    ['an archive', ['cifar-10-binary.tar.gz'], /it contains cifar-10-binary\.tar\.gz.*Unpack the archive first/],
    ['images without class folders', ['1.jpg', '2.jpg'], /Move the images into one subfolder per class/],
    ['the Python version of CIFAR-10', ['data_batch_1', 'test_batch'], /download the binary version/],
  ];
  it.each(folders)('%s', async (_, files, message) => {
    const location = await temporaryFolder();
    for (const file of files) await writeFile(path.join(location, file), 'content');
    await expect(readDataset(location)).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringMatching(message),
    });
  });

  it('a folder that does not exist', async () => {
    await expect(readDataset(path.join(folder, 'nothing'))).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringContaining('does not exist'),
    });
  });

  it('a file', async () => {
    await expect(readDataset(path.join(folder, 'training.bin'))).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringContaining('is a file'),
    });
  });
});

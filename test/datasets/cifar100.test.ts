import { mkdir, rm, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { coarseClassNames, fineClassNames } from '../../datasets/class-names.js';
import { readDataset } from '../../datasets/read-dataset.js';
import { temporaryFolder } from '../support/temporary-folder.js';

/** Returns records in the official format. All pixels of an image have the value of its position. */
function cifar100Records(labels: readonly [coarse: number, fine: number][]): Uint8Array {
  return Buffer.concat(labels.map(([coarse, fine], index) => Buffer.from([coarse, fine, ...Array(3072).fill(index)])));
}

let folder = '';
beforeEach(async () => {
  folder = await temporaryFolder();
  await writeFile(
    path.join(folder, 'train.bin'),
    cifar100Records([
      [11, 19],
      [15, 29],
      [4, 0],
    ]),
  );
  await writeFile(path.join(folder, 'test.bin'), cifar100Records([[10, 49]]));
});

describe('readDataset reads CIFAR-100', () => {
  it('with the fine labels by default', async () => {
    const { description, training, validation, test } = await readDataset(folder);
    expect(description).toEqual({
      name: 'cifar100',
      height: 32,
      width: 32,
      channels: 3,
      classNames: fineClassNames,
      fit: null,
    });
    expect(training.length).toBe(3 * 3073);
    expect([training[0], training[3073], training[2 * 3073]]).toEqual([19, 29, 0]);
    expect([training[1], training[3072], training[3074], training.at(-1)]).toEqual([0, 0, 1, 2]);
    expect(validation).toBeNull();
    expect(test?.[0]).toBe(49);
  });

  it('with the coarse labels if requested', async () => {
    const { description, training, test } = await readDataset(folder, { labels: 'coarse' });
    expect(description.classNames).toEqual(coarseClassNames);
    expect([training[0], training[3073], training[2 * 3073], test?.[0]]).toEqual([11, 15, 4, 10]);
  });

  it('from the folder of the official archive', async () => {
    const parent = await temporaryFolder();
    await mkdir(path.join(parent, 'cifar-100-binary'));
    for (const name of ['train.bin', 'test.bin']) {
      await writeFile(path.join(parent, 'cifar-100-binary', name), cifar100Records([[1, 2]]));
    }
    const { training } = await readDataset(parent);
    expect(training.length).toBe(3073);
  });

  it('with the class names in its text files', async () => {
    const names = fineClassNames.map((name) => name.toUpperCase());
    await writeFile(path.join(folder, 'fine_label_names.txt'), `${names.join('\n')}\n\n`);
    expect((await readDataset(folder)).description.classNames).toEqual(names);
  });
});

it('CIFAR-100 has 100 fine and 20 coarse classes with distinct names', () => {
  expect(new Set(fineClassNames).size).toBe(100);
  expect(new Set(coarseClassNames).size).toBe(20);
});

describe('readDataset refuses CIFAR-100 files', () => {
  it('that are truncated', async () => {
    await truncate(path.join(folder, 'train.bin'), 5000);
    await expect(readDataset(folder)).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringMatching(/train\.bin is truncated.*has 5000 bytes, expected a multiple of 3074/),
    });
  });

  it.each([
    [[20, 0], 'record 0 (at byte 0) has the coarse label 20; coarse labels are 0 to 19'],
    [[0, 100], 'record 0 (at byte 0) has the fine label 100; fine labels are 0 to 99'],
  ] as const)('with the labels %j', async ([coarse, fine], message) => {
    await writeFile(path.join(folder, 'test.bin'), cifar100Records([[coarse, fine]]));
    await expect(readDataset(folder)).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringContaining(message),
    });
  });

  it('if one is missing, and says how to download it', async () => {
    await rm(path.join(folder, 'test.bin'));
    await expect(readDataset(folder)).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringMatching(/test\.bin is missing.*lockstep data download cifar100/),
    });
  });

  it('with another number of class names', async () => {
    await writeFile(path.join(folder, 'fine_label_names.txt'), 'apple\nbear\n');
    await expect(readDataset(folder)).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringContaining('has 2 class names: it must have 100'),
    });
  });

  it('if another image size is requested', async () => {
    await expect(readDataset(folder, { imageSize: 64 })).rejects.toMatchObject({
      code: 'bad-option',
      message: expect.stringContaining('`imageSize` is 64, but'),
    });
  });
});

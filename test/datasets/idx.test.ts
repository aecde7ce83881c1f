import { readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { beforeEach, describe, expect, it } from 'vitest';
import { fashionClassNames } from '../../datasets/class-names.js';
import { readDataset } from '../../datasets/read-dataset.js';
import { idxBytes, writeIdx } from '../support/idx-files.js';
import { temporaryFolder } from '../support/temporary-folder.js';

let folder = '';
beforeEach(async () => {
  folder = await temporaryFolder();
});

describe('readDataset reads IDX files', () => {
  it.each([false, true])('of 28×28 gray images (gzipped: %s)', async (gzip) => {
    await writeIdx(folder, { gzip, trainingLabels: [5, 0, 4, 1, 9, 2, 1, 3, 1, 4], testLabels: [7, 2] });
    const { description, training, validation, test } = await readDataset(folder);
    const digits = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'];
    expect(description).toEqual({
      name: 'mnist',
      height: 28,
      width: 28,
      channels: 1,
      classNames: digits,
      fit: null,
      flippable: false,
    });
    expect(training.length).toBe(10 * 785);
    expect([training[0], training[785], training[786]]).toEqual([5, 0, 1]);
    expect(validation).toBeNull();
    expect([test?.length, test?.[0], test?.[785]]).toEqual([2 * 785, 7, 2]);
  });

  it('of Fashion-MNIST, which it recognizes by its labels', async () => {
    await writeIdx(folder, { trainingLabels: [9, 0, 0, 3, 0, 2, 7, 2, 5, 5, 0] });
    const { description } = await readDataset(folder);
    expect(description.name).toBe('fashion-mnist');
    expect(description.classNames).toEqual(fashionClassNames);
    expect(description.flippable).toBe(true);
  });

  it.each(['MNIST/raw', 'FashionMNIST/raw'])('in the folder %s', async (subfolder) => {
    await writeIdx(path.join(folder, subfolder));
    expect((await readDataset(folder)).training.length).toBe(3 * 785);
  });

  it('with names in the form train-images.idx3-ubyte', async () => {
    await writeIdx(folder);
    const name = (separator: string) => path.join(folder, `train-images${separator}idx3-ubyte`);
    await rename(name('-'), name('.'));
    expect((await readDataset(folder)).training.length).toBe(3 * 785);
  });

  it('of other sizes and with more classes', async () => {
    await writeIdx(folder, { side: 5, trainingLabels: [0, 11], testLabels: [3] });
    const { description } = await readDataset(folder);
    expect(description).toMatchObject({ name: path.basename(folder), height: 5, width: 5 });
    expect(description.classNames).toHaveLength(12);
  });

  it('with the class names in class-names.txt', async () => {
    await writeIdx(folder, { trainingLabels: [0, 1], testLabels: [1] });
    await writeFile(path.join(folder, 'class-names.txt'), 'no\nyes\n');
    expect((await readDataset(folder)).description.classNames).toEqual(['no', 'yes']);
  });
});

describe('readDataset refuses IDX files', () => {
  const images = () => path.join(folder, 'train-images-idx3-ubyte');
  const labels = () => path.join(folder, 'train-labels-idx1-ubyte');
  const failures: [name: string, damage: () => Promise<void>, message: RegExp][] = [
    ['that are truncated', async () => truncate(images(), 1000), /announces 3×28×28 bytes of images, and 984 follow/],
    ['that end in their header', async () => truncate(images(), 10), /ends within its header of 16 bytes: it has 10/],
    [
      'with bytes after the last image',
      async () => writeFile(images(), Buffer.concat([await readFile(images()), Buffer.alloc(1)])),
      /3×28×28 bytes of images, and 2353 follow/,
    ],
    [
      'with another magic number',
      async () => writeFile(images(), idxBytes([3], [5, 0, 4, ...Array<number>(20).fill(0)])),
      /magic number is 0x00000801, expected 0x00000803/,
    ],
    [
      'with another number of labels than images',
      async () => writeFile(labels(), idxBytes([2], [5, 0])),
      /has 3 images, but .*train-labels-idx1-ubyte has 2 labels/,
    ],
    [
      'with a damaged gzip file',
      async () => writeFile(images(), gzipSync(await readFile(images())).subarray(0, 40)),
      /train-images-idx3-ubyte is a damaged gzip file/,
    ],
    ['if one is missing', async () => rm(labels()), /train-labels-idx1-ubyte is missing, with or without \.gz/],
    [
      'with images that are too large',
      async () => writeFile(images(), idxBytes([0, 300, 300], [])),
      /has images of 300×300 pixels: they must have from 1×1 to 224×224/,
    ],
    [
      'with fewer class names than labels',
      async () => writeFile(path.join(folder, 'class-names.txt'), 'zero\n'),
      /has 1 class names, but the highest label is 7/,
    ],
  ];
  it.each(failures)('%s', async (_, damage, message) => {
    await writeIdx(folder);
    await damage();
    await expect(readDataset(folder)).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringMatching(message),
    });
  });

  it('whose test images have another size', async () => {
    await writeIdx(folder);
    await writeFile(path.join(folder, 't10k-images-idx3-ubyte'), idxBytes([2, 1, 1], [0, 0]));
    await expect(readDataset(folder)).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringContaining('have 28×28 pixels, and the test images 1×1'),
    });
  });
});

import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cifar10Format } from '../../../shared/dataset/cifar10-layout.js';
import { countPerClass, imageCountOf, officialClassNames } from '../../../shared/dataset/cifar10-layout.js';
import {
  batchFilesOf,
  holdsCifar10,
  loadCifar10,
  writeCifar10,
  type Cifar10,
} from '../../../shared/dataset/cifar10.js';
import { synthesizeDataset } from '../../../shared/dataset/synthesize.js';
import { LockstepError } from '../../../shared/errors.js';

const { recordBytes } = cifar10Format;

const dataset = synthesizeDataset({ seed: 3, trainingImages: 12, testImages: 4 });

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lockstep-cifar10-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function failureOf(attempt: Promise<unknown>): Promise<LockstepError> {
  const error: unknown = await attempt.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof LockstepError) return error;
  throw new Error(`expected a LockstepError, got ${String(error)}`);
}

function expectSame(actual: Cifar10, expected: Cifar10): void {
  expect(actual.description.classNames).toEqual(expected.description.classNames);
  expect(Buffer.compare(actual.training, expected.training)).toBe(0);
  expect(Buffer.compare(actual.test, expected.test)).toBe(0);
}

describe('a dataset on disk', () => {
  it('is read as it was written, with batches 1 to 5 in order', async () => {
    await writeCifar10(folder, dataset);
    const loaded = await loadCifar10(folder);
    expectSame(loaded, dataset);
    expect(loaded.source).toBe(`CIFAR-10 files in ${folder}`);
  });

  it('stores its training images in batches of nearly equal size', async () => {
    await writeCifar10(folder, dataset);
    // With 12 images, batch b starts at image floor(12 × b / 5): 0, 2, 4, 7, 9; the end is 12.
    const files = await batchFilesOf(folder);
    expect(files.map(({ name, records }) => [name, records])).toEqual([
      ['data_batch_1.bin', 2],
      ['data_batch_2.bin', 2],
      ['data_batch_3.bin', 3],
      ['data_batch_4.bin', 2],
      ['data_batch_5.bin', 3],
      ['test_batch.bin', 4],
    ]);
  });

  it('is found in cifar-10-batches-bin, the folder in the official archive', async () => {
    const unpacked = path.join(folder, 'cifar-10-batches-bin');
    await writeCifar10(unpacked, dataset);
    expect(await holdsCifar10(folder)).toBe(true);
    const loaded = await loadCifar10(folder);
    expectSame(loaded, dataset);
    expect(loaded.source).toContain(unpacked);
  });

  it('may have Windows line endings and empty lines in its file of class names', async () => {
    await writeCifar10(folder, dataset);
    await writeFile(path.join(folder, 'batches.meta.txt'), `${officialClassNames.join('\r\n')}\r\n\r\n`);
    expect((await loadCifar10(folder)).description.classNames).toEqual(officialClassNames);
  });

  it('is replaced only with overwrite, and then completely', async () => {
    await writeCifar10(folder, dataset);
    const other = synthesizeDataset({ seed: 4, trainingImages: 5, testImages: 1 });
    const refusal = await failureOf(writeCifar10(folder, other));
    expect(refusal.code).toBe('bad-data');
    expect(refusal.message).toContain('`overwrite`');
    expectSame(await loadCifar10(folder), dataset);

    await writeCifar10(folder, other, { overwrite: true });
    expectSame(await loadCifar10(folder), other);
    expect(await readdir(folder)).toHaveLength(7);
  });

  it('needs at least one image for each of its six files', async () => {
    const four = synthesizeDataset({ trainingImages: 4, testImages: 1 });
    expect((await failureOf(writeCifar10(folder, four))).message).toContain('4 training and 1 test images');
    expect(await readdir(folder)).toEqual([]);
  });
});

describe('an invalid dataset', () => {
  beforeEach(() => writeCifar10(folder, dataset));

  const faults: {
    title: string;
    damage: () => Promise<unknown>;
    /** Substrings that the message must contain. */
    contains: string[];
  }[] = [
    {
      title: 'for a truncated file, with the nearest valid sizes',
      // One byte less than three records: 3 × 3,073 - 1 = 9,218 bytes.
      damage: () => truncate(path.join(folder, 'data_batch_3.bin'), 3 * recordBytes - 1),
      contains: ['data_batch_3.bin', '9218 bytes', '6146 (2 records)', '9219 (3 records)'],
    },
    {
      title: 'for an empty file',
      damage: () => truncate(path.join(folder, 'test_batch.bin'), 0),
      contains: ['test_batch.bin', '0 bytes', 'at least 3073 (1 record)'],
    },
    {
      title: 'for a missing batch, with its name',
      damage: () => rm(path.join(folder, 'data_batch_5.bin')),
      contains: ['data_batch_5.bin is missing', 'consists of 7 files'],
    },
    {
      title: 'for a missing file of class names',
      damage: () => rm(path.join(folder, 'batches.meta.txt')),
      contains: ['batches.meta.txt is missing'],
    },
    {
      title: 'for nine class names',
      damage: () => writeFile(path.join(folder, 'batches.meta.txt'), officialClassNames.slice(1).join('\n')),
      contains: ['batches.meta.txt has 9 class names', 'must have 10'],
    },
    {
      title: 'for a label of 10, with the record and its offset',
      damage: async () => {
        const file = path.join(folder, 'data_batch_4.bin');
        const bytes = await readFile(file);
        bytes[recordBytes] = 10;
        await writeFile(file, bytes);
      },
      contains: ['data_batch_4.bin', 'record 1 (at byte 3073)', 'label 10', '0 to 9'],
    },
    {
      title: 'for a folder instead of a file',
      damage: async () => {
        await rm(path.join(folder, 'data_batch_2.bin'));
        await mkdir(path.join(folder, 'data_batch_2.bin'));
      },
      contains: ['data_batch_2.bin is not a file'],
    },
  ];

  it.each(faults.map((fault) => [fault.title, fault] as const))('is rejected %s', async (_, { damage, contains }) => {
    await damage();
    const error = await failureOf(loadCifar10(folder));
    expect(error.code).toBe('bad-data');
    for (const words of contains) expect(error.message).toContain(words);
    expect(error.message).toContain(`lockstep data download ${folder}`);
    expect(error.message).toContain(`lockstep data verify ${folder}`);
  });

  it('still counts as CIFAR-10, so that no run silently uses other images', async () => {
    await rm(path.join(folder, 'data_batch_1.bin'));
    expect(await holdsCifar10(folder)).toBe(true);
    const error = await failureOf(loadCifar10(folder));
    expect(error.message).toContain('data_batch_1.bin is missing');
  });
});

describe('a folder without a dataset', () => {
  it('is reported with a remedy if it does not exist', async () => {
    const absent = path.join(folder, 'absent');
    expect(await holdsCifar10(absent)).toBe(false);
    const error = await failureOf(loadCifar10(absent));
    expect(error.code).toBe('bad-data');
    expect(error.message).toBe(
      `the data folder ${absent} does not exist: specify the folder that contains the CIFAR-10 files, or download them ` +
        `with 'lockstep data download ${absent}'`,
    );
  });

  it('is reported with the reason if it cannot be read', async () => {
    const inFile = path.join(folder, 'file', 'data');
    await writeFile(path.join(folder, 'file'), '');
    const { message } = await failureOf(loadCifar10(inFile));
    expect(message).toBe(`cannot read the data folder ${inFile} (ENOTDIR): specify a folder that you can read`);
  });

  it('is reported if it is a file', async () => {
    const file = path.join(folder, 'data');
    await writeFile(file, '');
    expect((await failureOf(loadCifar10(file))).message).toContain(`${file} is a file`);
  });
});

describe('real CIFAR-10 pixels', () => {
  const real = path.resolve('../shared/cifar10/subset');

  it('are read as 5 × 1,000 training and 1,000 test images with the official class names', async (context) => {
    if (!existsSync(real)) {
      process.stderr.write(`Skipping the test on real images: ${real} does not exist\n`);
      context.skip();
    }
    const loaded = await loadCifar10(real);
    expect(loaded.description.classNames).toEqual(officialClassNames);
    expect(imageCountOf(loaded.training)).toBe(5000);
    expect(imageCountOf(loaded.test)).toBe(1000);
    expect(countPerClass(loaded.training).reduce((sum, count) => sum + count)).toBe(5000);
  });
});

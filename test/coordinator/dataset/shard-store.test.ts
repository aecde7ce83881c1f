import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { assertShardsFit, createShards } from '../../../coordinator/dataset/shard-store.js';
import { cifar10Format, cifar10Description } from '../../../shared/dataset/cifar10-layout.js';
import { noiseDataset } from '../../support/noise-dataset.js';
import { resolveConfig } from '../../../shared/config/config.js';
import { type Cifar10 } from '../../../shared/dataset/cifar10-layout.js';
import { bytesOf, type RecordsFile } from '../../../shared/dataset/records.js';
import { partitionIntoShards } from '../../../shared/dataset/partition.js';

const { recordBytes } = cifar10Format;

/** Returns distinguishable records: each has a label, the record's number, then zeros. */
function numberedRecords(count: number): Uint8Array {
  const records = Buffer.alloc(count * recordBytes);
  for (let record = 0; record < count; record++) {
    records[record * recordBytes] = record % 10;
    records.writeUInt16LE(record, record * recordBytes + 1);
  }
  return records;
}

function numbersOf(records: Uint8Array): number[] {
  const view = new DataView(records.buffer, records.byteOffset, records.byteLength);
  return Array.from({ length: records.length / recordBytes }, (_, record) =>
    view.getUint16(record * recordBytes + 1, true),
  );
}

const dataset: Cifar10 = {
  description: cifar10Description,
  training: numberedRecords(60),
  validation: null,
  test: numberedRecords(510),
  source: 'numbered records',
};
const config = resolveConfig({ batchSize: 16, slices: 4, validationSplit: 0.1, seed: 3 });
const store = await createShards(dataset, config);
const shardsOf = (split: string) => store.shards.filter((shard) => shard.split === split);
const recordsOf = (split: string) =>
  shardsOf(split).map((shard) => numbersOf(store.records.get(shard.sha256) as Uint8Array));

describe('the shards of a run', () => {
  it('are a training shard per slice, then the validation and test shards', () => {
    expect(store.shards.map(({ split, index, bytes }) => [split, index, bytes / recordBytes])).toEqual([
      // 54 training images in four shards.
      ...[14, 14, 13, 13].map((images, index) => ['training', index, images]),
      ['validation', 0, 6],
      ['test', 0, 250],
      ['test', 1, 250],
      ['test', 2, 10],
    ]);
  });

  it('count images and steps', () => {
    // floor(60 × 0.1) = 6 validation images; floor(54 / 16) = 3 steps.
    expect(store).toMatchObject({ trainingCount: 54, validationCount: 6, testCount: 510, stepsPerEpoch: 3 });
  });

  it('use the first images for validation', () => {
    expect(recordsOf('validation')).toEqual([[0, 1, 2, 3, 4, 5]]);
  });

  it('use the other images for training, in the seeded partition', () => {
    const partition = partitionIntoShards(54, 4, 3).map((shard) => [...shard].map((index) => 6 + index));
    expect(recordsOf('training')).toEqual(partition);
    const all = partition.flat().toSorted((a, b) => a - b);
    expect(all).toEqual(Array.from({ length: 54 }, (_, index) => 6 + index));
  });

  it('use all test images in their original order', () => {
    expect(recordsOf('test').flat()).toEqual(Array.from({ length: 510 }, (_, index) => index));
  });

  it('are identified by the SHA-256 of their bytes', () => {
    for (const { sha256, bytes } of store.shards) {
      const records = store.records.get(sha256) as Uint8Array;
      expect(records.length).toBe(bytes);
      expect(createHash('sha256').update(records).digest('hex')).toBe(sha256);
    }
  });

  it('include no validation shards without a validation split', async () => {
    const { shards, trainingCount } = await createShards(dataset, resolveConfig({ batchSize: 16, validationSplit: 0 }));
    expect(trainingCount).toBe(60);
    expect(new Set(shards.map((shard) => shard.split))).toEqual(new Set(['training', 'test']));
  });
});

describe('images that are sorted by class', () => {
  // Three classes with 10, 20 and 30 images.
  const sorted = numberedRecords(60);
  for (let image = 0; image < 60; image++) sorted[image * recordBytes] = image < 10 ? 0 : image < 30 ? 1 : 2;
  const file: RecordsFile = {
    length: sorted.length,
    read: (target, position) => Promise.resolve(target.set(sorted.subarray(position, position + target.length))),
  };

  it.each([
    ['in memory', sorted],
    ['in a file', file],
  ])('lend the same share of each class to validation, %s', async (_, training) => {
    const { records, shards, labels } = await createShards({ ...dataset, training, test: null }, config);
    const numbers: Record<string, number[]> = { training: [], validation: [] };
    for (const { split, sha256, bytes } of shards) {
      numbers[split].push(...numbersOf(await bytesOf(records.get(sha256)!, 0, bytes)));
    }
    // The first of each of six parts of ten images.
    expect(numbers['validation']).toEqual([0, 10, 20, 30, 40, 50]);
    expect([...labels.validation]).toEqual([0, 1, 1, 2, 2, 2]);
    const all = [...numbers['training'], ...numbers['validation']].toSorted((a, b) => a - b);
    expect(all).toEqual(Array.from({ length: 60 }, (_unused, index) => index));
  });
});

it('a batch larger than the training set is refused with both sizes', async () => {
  await expect(createShards(dataset, resolveConfig({ batchSize: 56 }))).rejects.toThrow(
    expect.objectContaining({
      code: 'bad-config',
      message: '`batchSize` is 56: it must be at most 54, the number of training images in numbered records',
    }),
  );
});

it('given validation images are used instead of the first training images, and test images may be missing', async () => {
  const given = { ...dataset, validation: numberedRecords(7), test: null };
  const { trainingCount, validationCount, testCount } = await createShards(given, config);
  expect([trainingCount, validationCount, testCount]).toEqual([60, 7, 0]);
});

it('evaluation shards of large images hold fewer images', async () => {
  const shape = { height: 224, width: 224, channels: 1, classCount: 2 } as const;
  const large = noiseDataset(shape, { training: 16, test: 45 });
  const { shards } = await createShards(large, resolveConfig({ batchSize: 16, validationSplit: 0 }));
  // 20 images of 224×224 pixels have 1,003,520 pixels, fewer than 2^20; 21 have more.
  const imagesOf = (bytes: number) => bytes / (1 + 224 * 224);
  expect(shards.filter(({ split }) => split === 'test').map(({ bytes }) => imagesOf(bytes))).toEqual([20, 20, 5]);
});

it('records in files give the same shards, labels and statistics, and the same bytes of each shard', async () => {
  const preprocessed = { ...config, preprocessing: 'standardize' } as const;
  const { records: expected, ...rest } = await createShards(dataset, preprocessed);
  const inFile = (bytes: Uint8Array): RecordsFile => ({
    length: bytes.length,
    read(target, position) {
      target.set(bytes.subarray(position, position + target.length));
      return Promise.resolve();
    },
  });
  const stored = { ...dataset, training: inFile(dataset.training), test: inFile(dataset.test) };
  const { records: found, ...others } = await createShards(stored, preprocessed);
  expect(others).toEqual(rest);
  expect(others.labels.test).toEqual(Uint16Array.from({ length: 510 }, (_, index) => index % 10));
  for (const [sha256, records] of expected) {
    const shard = found.get(sha256)!;
    expect(shard).not.toBeInstanceOf(Uint8Array);
    // A chunk may begin and end inside of a record.
    const [part, expectedPart] = [await bytesOf(shard, 5000, 9000), await bytesOf(records, 5000, 9000)];
    expect(Buffer.compare(part, expectedPart)).toBe(0);
  }
});

describe('training images that are too large', () => {
  const gib = 2 ** 30;

  it('are refused with the smallest number of slices that fits', () => {
    // 48,000 records of 1 MiB: a shard has at most 16 GiB, so three slices would do, but four is the next divisor of 128.
    const fit = (slices: number) => assertShardsFit(48_000 * 2 ** 20, 48_000, 2 ** 20, { slices, batchSize: 128 });
    expect(() => fit(4)).not.toThrow();
    expect(() => fit(2)).toThrow(
      expect.objectContaining({
        code: 'bad-config',
        message:
          '`slices` is 2: a shard of the training images would take 23.4 GiB, but workers accept at most 16.0 GiB; use at ' +
          'least 4 slices',
      }),
    );
  });

  it('are refused if their total size is beyond the limit', () => {
    expect(() => assertShardsFit(257 * gib, 257, gib, { slices: 64, batchSize: 128 })).toThrow(
      expect.objectContaining({ code: 'bad-data', message: expect.stringContaining('take 257.0 GiB') }),
    );
  });
});

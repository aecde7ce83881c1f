import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { cifar10Format } from '../../../shared/dataset/cifar10-layout.js';
import {
  alternatingFlip,
  partitionIntoShards,
  epochOrder,
  gatherRecords,
  shardSizeOf,
  stepsPerEpochOf,
  validationCountOf,
  augmentationsOf,
} from '../../../shared/dataset/partition.js';
import {
  isFlipped,
  isReflected,
  identityAugmentation,
  cropLeft,
  cropTop,
} from '../../../shared/dataset/image-batch.js';

const { recordBytes } = cifar10Format;

const sha256 = (...arrays: readonly (Uint32Array | Uint16Array)[]) => {
  const hash = createHash('sha256');
  for (const array of arrays) hash.update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
  return hash.digest('hex');
};

describe('the validation split', () => {
  it('uses the first tenth of CIFAR-10 and leaves 351 steps of 128 images', () => {
    expect(validationCountOf(50_000, 0.1)).toBe(5000);
    expect(stepsPerEpochOf(45_000, 128)).toBe(351);
  });

  it('rounds down to whole images and whole batches', () => {
    // 0.1 × 59 = 5.9 is rounded down to 5 images. 53 images make two whole batches of 25.
    expect(validationCountOf(59, 0.1)).toBe(5);
    expect(stepsPerEpochOf(53, 25)).toBe(2);
    expect(validationCountOf(59, 0)).toBe(0);
  });
});

describe('shards', () => {
  it.each([
    [45_000, 4],
    [10, 3],
    [7, 7],
    [100, 1],
  ])('of %i images for %i slices hold each image once', (trainingCount, sliceCount) => {
    const shards = partitionIntoShards(trainingCount, sliceCount, 0);
    const timesAssigned = new Uint8Array(trainingCount);
    for (const shard of shards) for (const image of shard) timesAssigned[image] += 1;
    expect(timesAssigned.every((times) => times === 1)).toBe(true);
    expect(shards.reduce((sum, shard) => sum + shard.length, 0)).toBe(trainingCount);
  });

  it('differ by at most one image, with the larger ones first', () => {
    // Ten images are split among four slices as 3, 3, 2 and 2.
    expect(partitionIntoShards(10, 4, 0).map((shard) => shard.length)).toEqual([3, 3, 2, 2]);
    expect([0, 1, 2, 3].map((slice) => shardSizeOf(10, 4, slice))).toEqual([3, 3, 2, 2]);
  });

  it('have enough images for an epoch, with a share of each batch for every slice', () => {
    for (let trainingCount = 12; trainingCount < 60; trainingCount++) {
      const needed = stepsPerEpochOf(trainingCount, 12) * (12 / 4);
      expect(shardSizeOf(trainingCount, 4, 3)).toBeGreaterThanOrEqual(needed);
    }
  });

  it('depend only on the seed and are the same on every machine', () => {
    expect(sha256(...partitionIntoShards(45_000, 4, 0))).toBe(
      '97e0d0db08d6e5e1f80da8ba7a547f206fc7244257e26c031eefe462a9cb1c1a',
    );
    expect(sha256(...partitionIntoShards(45_000, 4, 1))).not.toBe(sha256(...partitionIntoShards(45_000, 4, 0)));
  });
});

describe('gatherRecords', () => {
  it('copies records in the order of the indices', () => {
    const records = new Uint8Array(3 * recordBytes);
    records.forEach((_, i) => {
      records[i] = 10 * Math.floor(i / recordBytes) + (i % 7);
    });
    const gathered = gatherRecords(records, Uint32Array.of(2, 0), recordBytes);
    // Record 2 starts at byte 2 × 3,073 = 6,146. Its first byte is 20, as 6,146 mod 7 = 0; the first byte of record 0
    // is 0.
    expect(gathered.length).toBe(2 * recordBytes);
    expect(gathered.subarray(0, recordBytes)).toEqual(records.subarray(2 * recordBytes));
    expect(gathered.subarray(recordBytes)).toEqual(records.subarray(0, recordBytes));
  });
});

describe('the order of an epoch', () => {
  it('contains every image of the shard once', () => {
    const order = epochOrder(0, 3, 1, 90);
    expect([...order].toSorted((a, b) => a - b)).toEqual(Array.from({ length: 90 }, (_, index) => index));
  });

  it('differs between epochs, slices and seeds and is the same on every machine', () => {
    const orders = [epochOrder(0, 0, 0, 50), epochOrder(1, 0, 0, 50), epochOrder(0, 1, 0, 50), epochOrder(0, 0, 1, 50)];
    expect(new Set(orders.map((order) => order.join())).size).toBe(4);
    expect(sha256(epochOrder(0, 0, 0, 11_250))).toBe(
      '5cd29ba1f6c6d7ce6e5f2f861ddc6d234bb3811d8d879eb3ab59e22bd727b988',
    );
  });
});

describe('augmentations', () => {
  const many = augmentationsOf({ seed: 0, step: 5, slice: 2, count: 8100, augment: true });

  it('use all 81 corners about equally often', () => {
    const counts = new Uint32Array(81);
    for (const augmentation of many) {
      expect(Math.max(cropTop(augmentation), cropLeft(augmentation))).toBeLessThanOrEqual(8);
      counts[cropTop(augmentation) * 9 + cropLeft(augmentation)] += 1;
    }
    // Each corner is expected 100 times, with a standard deviation of sqrt(8,100 × 1/81 × 80/81) = 9.9. The tolerance
    // of 50 is five standard deviations.
    expect(Math.min(...counts)).toBeGreaterThan(50);
    expect(Math.max(...counts)).toBeLessThan(150);
  });

  it('flip about half of the images', () => {
    // The standard deviation is sqrt(8,100 / 4) = 45. The tolerance of 225 is five standard deviations.
    const flipped = many.filter(isFlipped).length;
    expect(Math.abs(flipped - 4050)).toBeLessThan(225);
  });

  it('of an image do not depend on the number of images', () => {
    expect(augmentationsOf({ seed: 0, step: 5, slice: 2, count: 10, augment: true })).toEqual(many.subarray(0, 10));
  });

  it('differ between steps, slices and seeds and are the same on every machine', () => {
    const key = { seed: 0, step: 0, slice: 0, count: 32, augment: true };
    const all = [key, { ...key, seed: 1 }, { ...key, step: 1 }, { ...key, slice: 1 }].map(augmentationsOf);
    expect(new Set(all.map((augmentations) => augmentations.join())).size).toBe(4);
    expect(sha256(many)).toBe('9883f11841190ea57f018777daf6cd47df4b31f6d0344a73f18cee25fa55f0fa');
  });

  it('use every corner of other margins', () => {
    for (const margin of [0, 1, 2, 15]) {
      const corners = augmentationsOf({ seed: 0, step: 5, slice: 2, count: 8100, augment: true, margin });
      const rows = new Set(Array.from(corners, cropTop));
      const columns = new Set(Array.from(corners, cropLeft));
      const expected = Array.from({ length: 2 * margin + 1 }, (_, i) => 4 - margin + i);
      for (const seen of [rows, columns]) expect([...seen].toSorted((a, b) => a - b)).toEqual(expected);
      // Flips do not depend on the margin.
      expect(Array.from(corners, isFlipped)).toEqual(Array.from(many, isFlipped));
    }
  });

  it('are the identity if augment is false', () => {
    expect([...augmentationsOf({ seed: 0, step: 5, slice: 2, count: 4, augment: false })]).toEqual(
      Array(4).fill(identityAugmentation),
    );
  });

  it('differ only in the padding if it is reflected, and only in the flips if those are given', () => {
    const key = { seed: 0, step: 5, slice: 2, count: 100, augment: true };
    const reflected = augmentationsOf({ ...key, cropPadding: 'reflect' });
    expect(reflected.every(isReflected)).toBe(true);
    // Bit 9 (512) selects reflected padding; bit 8 (256) is the flip.
    expect(reflected.map((augmentation) => augmentation - 512)).toEqual(many.subarray(0, 100));
    const flipped = Array.from({ length: 100 }, (_, image) => image % 3 === 0);
    const given = augmentationsOf({ ...key, flipped });
    expect(Array.from(given, isFlipped)).toEqual(flipped);
    expect(given.map((augmentation) => augmentation & 255)).toEqual(
      many.subarray(0, 100).map((augmentation) => augmentation & 255),
    );
  });
});

describe('alternating flips', () => {
  const all = Uint32Array.from(Array(11_250).keys());
  const inEpoch = (epoch: number, indices: Uint32Array = all) => alternatingFlip(0, epoch, 2, indices);

  it('flip about half of the images in the first epoch', () => {
    // The standard deviation is sqrt(11,250 / 4) = 53. The tolerance of 265 is five standard deviations.
    expect(Math.abs(inEpoch(0).filter(Boolean).length - 5625)).toBeLessThan(265);
  });

  it('are inverted from each epoch to the next', () => {
    const first = inEpoch(0);
    for (const epoch of [1, 3, 181]) expect(inEpoch(epoch)).toEqual(first.map((flipped) => !flipped));
    for (const epoch of [2, 4, 180]) expect(inEpoch(epoch)).toEqual(first);
  });

  it("belong to an image and do not depend on its position in the epoch's order", () => {
    const order = epochOrder(0, 1, 2, all.length);
    const known = inEpoch(1);
    expect(inEpoch(1, order.subarray(32, 64))).toEqual(Array.from(order.subarray(32, 64), (index) => known[index]));
  });

  it('differ between slices and seeds and are the same on every machine', () => {
    const shown = [inEpoch(0), alternatingFlip(1, 0, 2, all), alternatingFlip(0, 0, 1, all)];
    expect(new Set(shown.map((flipped) => flipped.join())).size).toBe(3);
    expect(inEpoch(0, all.subarray(0, 12)).map(Number).join('')).toBe('101111110111');
  });
});

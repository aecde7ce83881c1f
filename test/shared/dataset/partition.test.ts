import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
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
  recordBytes,
  cropLeft,
  cropTop,
} from '../../../shared/dataset/image-batch.js';

const sha256 = (...arrays: readonly (Uint32Array | Uint16Array)[]) => {
  const hash = createHash('sha256');
  for (const array of arrays) hash.update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
  return hash.digest('hex');
};

describe('the split', () => {
  it('takes the first tenth of CIFAR-10 for validation and leaves 351 steps of 128 images', () => {
    expect(validationCountOf(50_000, 0.1)).toBe(5000);
    expect(stepsPerEpochOf(45_000, 128)).toBe(351);
  });

  it('rounds down: what is left over trains, and images beyond the last whole batch wait', () => {
    // 0.1 × 59 = 5.9; 53 images make two batches of 25.
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
  ])('deal %i images to %i slices, each image once', (trainingCount, sliceCount) => {
    const shards = partitionIntoShards(trainingCount, sliceCount, 0);
    const timesAssigned = new Uint8Array(trainingCount);
    for (const shard of shards) for (const image of shard) timesAssigned[image] += 1;
    expect(timesAssigned.every((times) => times === 1)).toBe(true);
    expect(shards.reduce((sum, shard) => sum + shard.length, 0)).toBe(trainingCount);
  });

  it('are as even as can be, the longer ones first', () => {
    // Ten cards to four players: 3, 3, 2, 2.
    expect(partitionIntoShards(10, 4, 0).map((shard) => shard.length)).toEqual([3, 3, 2, 2]);
    expect([0, 1, 2, 3].map((slice) => shardSizeOf(10, 4, slice))).toEqual([3, 3, 2, 2]);
  });

  it('always hold the images of an epoch: a slice takes a part of each batch', () => {
    for (let trainingCount = 12; trainingCount < 60; trainingCount++) {
      const needed = stepsPerEpochOf(trainingCount, 12) * (12 / 4);
      expect(shardSizeOf(trainingCount, 4, 3)).toBeGreaterThanOrEqual(needed);
    }
  });

  it('are shuffled by the seed alone, alike on every machine', () => {
    expect(sha256(...partitionIntoShards(45_000, 4, 0))).toBe(
      '97e0d0db08d6e5e1f80da8ba7a547f206fc7244257e26c031eefe462a9cb1c1a',
    );
    expect(sha256(...partitionIntoShards(45_000, 4, 1))).not.toBe(sha256(...partitionIntoShards(45_000, 4, 0)));
  });
});

describe('gatherRecords', () => {
  it('copies records in the order of the indices', () => {
    const records = new Uint8Array(3 * recordBytes);
    records.forEach((_, place) => {
      records[place] = 10 * Math.floor(place / recordBytes) + (place % 7);
    });
    const gathered = gatherRecords(records, Uint32Array.of(2, 0));
    // Record 2 begins with 20 and byte 2 × 3073 = 6146, 6146 mod 7 = 0; record 0 begins with 0.
    expect(gathered.length).toBe(2 * recordBytes);
    expect(gathered.subarray(0, recordBytes)).toEqual(records.subarray(2 * recordBytes));
    expect(gathered.subarray(recordBytes)).toEqual(records.subarray(0, recordBytes));
  });
});

describe('the order of an epoch', () => {
  it('goes through the whole shard once', () => {
    const order = epochOrder(0, 3, 1, 90);
    expect([...order].toSorted((a, b) => a - b)).toEqual(Array.from({ length: 90 }, (_, index) => index));
  });

  it('is another one in each epoch and slice and under each seed, alike on every machine', () => {
    const orders = [epochOrder(0, 0, 0, 50), epochOrder(1, 0, 0, 50), epochOrder(0, 1, 0, 50), epochOrder(0, 0, 1, 50)];
    expect(new Set(orders.map((order) => order.join())).size).toBe(4);
    expect(sha256(epochOrder(0, 0, 0, 11_250))).toBe(
      '5cd29ba1f6c6d7ce6e5f2f861ddc6d234bb3811d8d879eb3ab59e22bd727b988',
    );
  });
});

describe('views', () => {
  const many = augmentationsOf({ seed: 0, step: 5, slice: 2, count: 8100, augment: true });

  it('reach all 81 corners, each about as often', () => {
    const counts = new Uint32Array(81);
    for (const view of many) {
      expect(Math.max(cropTop(view), cropLeft(view))).toBeLessThanOrEqual(8);
      counts[cropTop(view) * 9 + cropLeft(view)] += 1;
    }
    // 100 each; the standard deviation is sqrt(8,100 × 1/81 × 80/81) = 9.9: 50 are five of them.
    expect(Math.min(...counts)).toBeGreaterThan(50);
    expect(Math.max(...counts)).toBeLessThan(150);
  });

  it('flip about half of the images', () => {
    // The standard deviation is sqrt(8,100 / 4) = 45: 225 are five of them.
    const flipped = many.filter((view) => isFlipped(view)).length;
    expect(Math.abs(flipped - 4050)).toBeLessThan(225);
  });

  it('of an image do not depend on how many there are', () => {
    expect(augmentationsOf({ seed: 0, step: 5, slice: 2, count: 10, augment: true })).toEqual(many.subarray(0, 10));
  });

  it('are others in each step and slice and under each seed, alike on every machine', () => {
    const key = { seed: 0, step: 0, slice: 0, count: 32, augment: true };
    const views = [key, { ...key, seed: 1 }, { ...key, step: 1 }, { ...key, slice: 1 }].map(augmentationsOf);
    expect(new Set(views.map((view) => view.join())).size).toBe(4);
    expect(sha256(many)).toBe('9883f11841190ea57f018777daf6cd47df4b31f6d0344a73f18cee25fa55f0fa');
  });

  it('are plain without augmentation', () => {
    expect([...augmentationsOf({ seed: 0, step: 5, slice: 2, count: 4, augment: false })]).toEqual(
      Array(4).fill(identityAugmentation),
    );
  });

  it('differ in the padding alone where it is reflected, and in the flips alone where those are given', () => {
    const key = { seed: 0, step: 5, slice: 2, count: 100, augment: true };
    const reflected = augmentationsOf({ ...key, cropPadding: 'reflect' });
    expect(reflected.every((view) => isReflected(view))).toBe(true);
    // Bit 9 is the padding's, bit 8 the flip's.
    expect(reflected.map((view) => view - 512)).toEqual(many.subarray(0, 100));
    const flipped = Array.from({ length: 100 }, (_, image) => image % 3 === 0);
    const given = augmentationsOf({ ...key, flipped });
    expect(Array.from(given, isFlipped)).toEqual(flipped);
    expect(given.map((view) => view & 255)).toEqual(many.subarray(0, 100).map((view) => view & 255));
  });
});

describe('alternating flips', () => {
  const all = Uint32Array.from(Array(11_250).keys());
  const inEpoch = (epoch: number, indices: Uint32Array = all) => alternatingFlip(0, epoch, 2, indices);

  it('show about half of the images flipped in the first epoch', () => {
    // The standard deviation is sqrt(11,250 / 4) = 53: 265 are five of them.
    expect(Math.abs(inEpoch(0).filter(Boolean).length - 5625)).toBeLessThan(265);
  });

  it('show each image the other way round in every other epoch', () => {
    const first = inEpoch(0);
    for (const epoch of [1, 3, 181]) expect(inEpoch(epoch)).toEqual(first.map((flipped) => !flipped));
    for (const epoch of [2, 4, 180]) expect(inEpoch(epoch)).toEqual(first);
  });

  it("are an image's own, wherever the epoch's order has it", () => {
    const order = epochOrder(0, 1, 2, all.length);
    const known = inEpoch(1);
    expect(inEpoch(1, order.subarray(32, 64))).toEqual(Array.from(order.subarray(32, 64), (index) => known[index]));
  });

  it('are others in each slice and under each seed, alike on every machine', () => {
    const shown = [inEpoch(0), alternatingFlip(1, 0, 2, all), alternatingFlip(0, 0, 1, all)];
    expect(new Set(shown.map((flipped) => flipped.join())).size).toBe(3);
    expect(inEpoch(0, all.subarray(0, 12)).map(Number).join('')).toBe('101111110111');
  });
});

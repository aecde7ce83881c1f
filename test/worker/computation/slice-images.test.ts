import { describe, expect, it } from 'vitest';
import { cifar10Format, cifar10Description } from '../../../shared/dataset/cifar10-layout.js';
import { resolveConfig, type ConfigInput } from '../../../shared/config/config.js';
import { identityAugmentations, isFlipped, isReflected } from '../../../shared/dataset/image-batch.js';
import { augmentationsOf, epochOrder } from '../../../shared/dataset/partition.js';
import { SliceImages } from '../../../worker/computation/slice-images.js';
import { RecordsInMemory } from '../../../worker/shards/shard-records.js';

const { recordBytes } = cifar10Format;

const shardSize = 13;
const shard = new RecordsInMemory(new Uint8Array(shardSize * recordBytes), cifar10Format);

/** Returns slice images with 3 images per slice and step. An epoch has 4 steps and uses 12 of a shard's 13 images. */
function imagesWith(input: ConfigInput = {}): SliceImages {
  const config = resolveConfig({ seed: 6, slices: 4, batchSize: 12, ...input });
  return new SliceImages({ config, dataset: cifar10Description, stepsPerEpoch: 4, preprocessing: 'imagenet' }, () =>
    Promise.resolve(shard),
  );
}

describe('the images of a slice', () => {
  it("are the next ones of its shard in the epoch's order, with the step's augmentation", async () => {
    // Step 6 is the third step of epoch 1, so it uses positions 6 to 8 of the epoch's order.
    const batch = await imagesWith().batch(6, 3);
    expect([...batch.indices]).toEqual([...epochOrder(6, 1, 3, shardSize)].slice(6, 9));
    expect(batch.augmentations).toEqual(augmentationsOf({ seed: 6, step: 6, slice: 3, count: 3, augment: true }));
  });

  it('occur at most once in an epoch', async () => {
    const images = imagesWith();
    const batches = await Promise.all([4, 5, 6, 7].map((step) => images.batch(step, 1)));
    // 4 steps × 3 images = 12 images
    const indices = batches.flatMap((batch) => Array.from(batch.indices));
    expect(new Set(indices).size).toBe(12);
  });

  it('do not depend on earlier batches', async () => {
    const images = imagesWith();
    for (const step of [0, 7]) for (let slice = 0; slice < 4; slice++) await images.batch(step, slice);
    expect(await images.batch(1, 2)).toEqual(await imagesWith().batch(1, 2));
  });

  it('are not augmented if `augment` is false', async () => {
    expect((await imagesWith({ augment: false }).batch(0, 0)).augmentations).toEqual(identityAugmentations(3));
  });

  it('have reflected padding with `cropPadding` reflect', async () => {
    const { augmentations } = await imagesWith({ cropPadding: 'reflect' }).batch(0, 0);
    expect(augmentations.every((augmentation) => isReflected(augmentation))).toBe(true);
  });

  it('cannot be taken from a shard that has too few images for an epoch', async () => {
    const config = resolveConfig({ slices: 4, batchSize: 12 });
    const images = new SliceImages(
      { config, dataset: cifar10Description, stepsPerEpoch: 5, preprocessing: 'imagenet' },
      () => Promise.resolve(shard),
    );
    // Step 4 needs positions 12 to 14 of the epoch's order, but there are only 13 images.
    await expect(images.batch(4, 2)).rejects.toMatchObject({
      name: 'ProtocolError',
      message: 'training shard 2 has 13 images, too few for step 4, which needs images 12 to 14 of an epoch',
    });
  });
});

it('images are not flipped with `flip` none, or if a mirrored image may show something else', async () => {
  const preprocessing = 'imagenet';
  const dataset = { ...cifar10Description, flippable: false };
  for (const flip of ['random', 'alternating', 'none'] as const) {
    const config = resolveConfig({ seed: 6, slices: 1, batchSize: 12, flip });
    const flipsOf = async (images: SliceImages) => (await images.batch(0, 0)).augmentations.filter(isFlipped).length;
    const read = () => Promise.resolve(shard);
    const digits = new SliceImages({ config, dataset, stepsPerEpoch: 1, preprocessing }, read);
    const photos = new SliceImages({ config, dataset: cifar10Description, stepsPerEpoch: 1, preprocessing }, read);
    expect(await flipsOf(digits)).toBe(0);
    expect((await flipsOf(photos)) > 0).toBe(flip !== 'none');
  }
});

describe('images augmented before the engine', () => {
  const input = { cutout: 8, resizedCrop: 0.2 };

  it('depend only on the step and the slice, and do not have to be prepared', async () => {
    const images = imagesWith(input);
    const prepared = (await images.prepare(1, 2))!;
    const copy = { ...prepared, records: prepared.records.slice() };
    expect(await images.batch(1, 2)).toBe(prepared);
    await images.batch(7, 2);
    await images.batch(1, 0);
    expect(await images.batch(1, 2)).toEqual(copy);
    expect(await imagesWith(input).batch(1, 2)).toEqual(copy);
    expect(copy.augmentations).toEqual(identityAugmentations(3));
  });

  it('use the memory of the previous batch of the slice', async () => {
    const images = imagesWith(input);
    const { records: memory } = (await images.prepare(1, 2))!;
    expect((await images.batch(4, 2)).records).toBe(memory);
    expect((await images.batch(4, 3)).records).not.toBe(memory);
  });
});

describe('with alternating flips', () => {
  /** Returns, for each image of slice 1 that is used in an epoch, whether it is flipped. */
  async function flipsOf(epoch: number) {
    const images = imagesWith({ flip: 'alternating' });
    const flips = new Map<number, boolean>();
    for (let step = 4 * epoch; step < 4 * epoch + 4; step++) {
      const { indices, augmentations } = await images.batch(step, 1);
      for (const [position, index] of indices.entries()) flips.set(index, isFlipped(augmentations[position]));
    }
    return flips;
  }

  it('an image is flipped in one of any two successive epochs', async () => {
    const epochs = await Promise.all([0, 1, 2, 3].map(flipsOf));
    for (const [epoch, flips] of epochs.slice(0, 3).entries()) {
      const next = epochs[epoch + 1];
      const common = [...flips].filter(([image]) => next.has(image));
      // Each epoch uses 12 of 13 images, so any two epochs have at least 11 in common.
      expect(common.length).toBeGreaterThanOrEqual(11);
      for (const [image, flipped] of common) expect(next.get(image)).toBe(!flipped);
    }
    expect(new Set(epochs[0].values()).size).toBe(2);
  });

  it('crops are the same as with random flips', async () => {
    const [random, alternating] = await Promise.all(
      (['random', 'alternating'] as const).map((flip) => imagesWith({ flip }).batch(5, 2)),
    );
    // Bits 0 to 7 hold the crop.
    expect(alternating.augmentations.map((augmentation) => augmentation & 255)).toEqual(
      random.augmentations.map((augmentation) => augmentation & 255),
    );
  });
});

describe('a batch that was prepared', () => {
  it('is returned for its own step and slice', async () => {
    const images = imagesWith();
    // Step 3 is the last step of epoch 0; step 4 starts an epoch with a different order.
    await images.batch(3, 1);
    const prepared = await images.prepare(4, 1);
    expect(await images.batch(4, 1)).toBe(prepared);
    expect(prepared).toEqual(await imagesWith().batch(4, 1));
  });

  it('is not used for another step or slice', async () => {
    const images = imagesWith();
    await images.prepare(2, 0);
    for (const [step, slice] of [
      [1, 0],
      [2, 3],
    ]) {
      expect(await images.batch(step, slice)).toEqual(await imagesWith().batch(step, slice));
    }
  });
});

// Splits the images into training and validation images, partitions the training images into shards, and determines the
// order and augmentation of each slice's images in each step. Pure functions of the seed, without state that a crash
// could lose.
import { KeyedRandom } from '../random.js';
import type { DatasetDescription } from './description.js';
import { cropMargin, packAugmentation, identityAugmentations, type CropPadding, type FlipMode } from './image-batch.js';

/**
 * Returns the number of validation images. As in Keras's ImageDataGenerator, floor(count × validationSplit) images are
 * for validation and the others for training.
 */
export function validationCountOf(count: number, validationSplit: number): number {
  return Math.floor(count * validationSplit);
}

/**
 * Spreads validation images evenly over all images.
 * @returns the indices of the images of both splits, in ascending order
 */
export function spreadValidation(
  count: number,
  validationCount: number,
): { training: Uint32Array; validation: Uint32Array } {
  // The first of each of validationCount equal parts.
  const validation = Uint32Array.from({ length: validationCount }, (_, part) =>
    Math.floor((part * count) / validationCount),
  );
  const isValidation = new Set(validation);
  const training = Uint32Array.from({ length: count }, (_, index) => index).filter((index) => !isValidation.has(index));
  return { training, validation };
}

/**
 * Returns the number of complete global batches in an epoch. Leftover images are not used in that epoch; other epochs
 * may use them.
 */
export function stepsPerEpochOf(trainingCount: number, batchSize: number): number {
  return Math.floor(trainingCount / batchSize);
}

/** Returns the number of training images in a slice's shard. */
export function shardSizeOf(trainingCount: number, sliceCount: number, slice: number): number {
  return Math.ceil((trainingCount - slice) / sliceCount);
}

/**
 * Shuffles the training images with the seed and assigns them to the shards round-robin.
 * @returns the indices of each slice's training images; index 0 is the first image after the validation images
 */
export function partitionIntoShards(trainingCount: number, sliceCount: number, seed: number): Uint32Array[] {
  const shuffled = new KeyedRandom(seed, 'partition').permutation(trainingCount);
  return Array.from({ length: sliceCount }, (_, slice) =>
    Uint32Array.from(
      { length: shardSizeOf(trainingCount, sliceCount, slice) },
      (_unused, round) => shuffled[round * sliceCount + slice],
    ),
  );
}

/** Returns a copy of the records at these indices, in this order. */
export function gatherRecords(records: Uint8Array, indices: Uint32Array, recordBytes: number): Uint8Array {
  const gathered = new Uint8Array(indices.length * recordBytes);
  indices.forEach((index, position) => {
    gathered.set(records.subarray(index * recordBytes, (index + 1) * recordBytes), position * recordBytes);
  });
  return gathered;
}

/** Returns the order of a shard's images in an epoch: a permutation of 0 to shardSize - 1. */
export function epochOrder(seed: number, epoch: number, slice: number, shardSize: number): Uint32Array {
  return new KeyedRandom(seed, 'epochOrder', epoch, slice).permutation(shardSize);
}

/**
 * Returns, for each of the given images, whether to flip it in an epoch with alternating flips (Jordan 2024,
 * arXiv:2404.00498, section 3.6). In epoch 0, each image is flipped with probability 1/2. After that, the choice is
 * inverted in each epoch, so that two consecutive epochs show both versions of the image. The choice depends on the
 * image's index in its shard, not on its position in the epoch.
 * @param indices indices of images in the shard, in the order of the epoch
 */
export function alternatingFlip(seed: number, epoch: number, slice: number, indices: Uint32Array): boolean[] {
  const random = new KeyedRandom(seed, 'flip', 0, slice);
  return Array.from(indices, (index) => ((random.wordsAt(index)[0] >>> 31) ^ (epoch & 1)) === 1);
}

/** Returns whether augmentation flips images: unless flips are off, or a mirrored image may show something else. */
export function flipsImages({ flip }: { flip: FlipMode }, { flippable = true }: DatasetDescription): boolean {
  return flip !== 'none' && flippable;
}

/**
 * Returns the packed augmentations of a slice's images in a step, or of an evaluation shard's images when validating
 * after `step` updates. By default, each image is flipped with probability 1/2. Each image is cropped at a position
 * within the margin, one of 81 by default. If `augment` is false, all images are left unchanged.
 */
export function augmentationsOf(key: {
  /** Purpose in the random key. `augmentation` by default. */
  purpose?: 'augmentation' | 'validationAugmentation';
  seed: number;
  step: number;
  /** Index of the slice or of the evaluation shard. */
  slice: number;
  count: number;
  augment: boolean;
  /** Padding before cropping. `zeros` by default. */
  cropPadding?: CropPadding;
  /** Rows and columns of padding on each side, 4 by default. */
  margin?: number;
  /** Whether to flip each image, instead of deciding at random. Does not affect the crops. */
  flipped?: readonly boolean[] | undefined;
}): Uint16Array {
  if (!key.augment) return identityAugmentations(key.count);
  const random = new KeyedRandom(key.seed, key.purpose ?? 'augmentation', key.step, key.slice);
  const { margin = cropMargin } = key;
  const corners = 2 * margin + 1;
  const first = cropMargin - margin;
  return Uint16Array.from({ length: key.count }, (_, position) => {
    const words = random.wordsAt(position);
    const flipped = key.flipped?.[position] ?? words[0] >>> 31 === 1;
    const corner = Math.floor((words[1] / 2 ** 32) * corners * corners);
    return packAugmentation(first + Math.floor(corner / corners), first + (corner % corners), flipped, key.cropPadding);
  });
}

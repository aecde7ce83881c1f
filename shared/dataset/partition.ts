// Which images train and which validate, the partition of the training images into shards, and the order and
// augmentation of each slice's images in each step. Pure functions of the seed, without state that a crash could lose.
import { KeyedRandom } from '../random.js';
import { cropMargin, packAugmentation, identityAugmentations, recordBytes, type CropPadding } from './image-batch.js';

/** The first floor(count × validationSplit) images validate and the others train, as in Keras. */
export function validationCountOf(count: number, validationSplit: number): number {
  return Math.floor(count * validationSplit);
}

/** Whole global batches in an epoch. The images left over may come in another epoch. */
export function stepsPerEpochOf(trainingCount: number, batchSize: number): number {
  return Math.floor(trainingCount / batchSize);
}

/** Images in the shard of a slice. */
export function shardSizeOf(trainingCount: number, sliceCount: number, slice: number): number {
  return Math.ceil((trainingCount - slice) / sliceCount);
}

/**
 * Shuffles the training images by the seed and assigns them to the shards in turn.
 * @returns for each slice the indices of its training images; index 0 is the first image after the validation images
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

/** Copies the records at these indices, in this order. */
export function gatherRecords(records: Uint8Array, indices: Uint32Array): Uint8Array {
  const gathered = new Uint8Array(indices.length * recordBytes);
  indices.forEach((index, position) => {
    gathered.set(records.subarray(index * recordBytes, (index + 1) * recordBytes), position * recordBytes);
  });
  return gathered;
}

/** The order of a shard's images in an epoch: a permutation of 0 to shardSize - 1. */
export function epochOrder(seed: number, epoch: number, slice: number, shardSize: number): Uint32Array {
  return new KeyedRandom(seed, 'epochOrder', epoch, slice).permutation(shardSize);
}

/**
 * Which of a shard's images are flipped in an epoch with alternating flips (Jordan 2024, arXiv:2404.00498, section
 * 3.6): each with probability 1/2 in epoch 0, and inverted from each epoch to the next, so that two successive epochs
 * show both. The choice belongs to the image's index in its shard, not to its position in the epoch.
 * @param indices images of the shard, in the epoch's order
 */
export function alternatingFlip(seed: number, epoch: number, slice: number, indices: Uint32Array): boolean[] {
  const random = new KeyedRandom(seed, 'flip', 0, slice);
  return Array.from(indices, (index) => ((random.wordsAt(index)[0] >>> 31) ^ (epoch & 1)) === 1);
}

/**
 * Augmentations of a slice's images in a step, or of an evaluation shard's in the validation at a step: each image is
 * flipped with probability 1/2 and cropped at one of 81 corners. All are the identity if `augment` is false.
 */
export function augmentationsOf(key: {
  /** `augmentation` by default. */
  purpose?: 'augmentation' | 'validationAugmentation';
  seed: number;
  step: number;
  /** Index of the slice or the evaluation shard. */
  slice: number;
  count: number;
  augment: boolean;
  /** `zeros` by default. */
  cropPadding?: CropPadding;
  /** Flips decided elsewhere; the crops stay the same. */
  flipped?: readonly boolean[] | undefined;
}): Uint16Array {
  if (!key.augment) return identityAugmentations(key.count);
  const random = new KeyedRandom(key.seed, key.purpose ?? 'augmentation', key.step, key.slice);
  const corners = 2 * cropMargin + 1;
  return Uint16Array.from({ length: key.count }, (_, position) => {
    const words = random.wordsAt(position);
    const flipped = key.flipped?.[position] ?? words[0] >>> 31 === 1;
    const corner = Math.floor((words[1] / 2 ** 32) * corners * corners);
    return packAugmentation(Math.floor(corner / corners), corner % corners, flipped, key.cropPadding);
  });
}

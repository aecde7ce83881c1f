// Which images train and which validate, how the training images are dealt into shards, and in which order and view
// each slice of each step sees them. Pure functions of the seed: nothing here has a state that a crash could lose.
import { KeyedRandom } from '../random.js';
import { cropMargin, packAugmentation, identityAugmentations, recordBytes, type CropPadding } from './image-batch.js';

/** The first floor(count × validationSplit) images validate, the others train: how Keras splits. */
export function validationCountOf(count: number, validationSplit: number): number {
  return Math.floor(count * validationSplit);
}

/** Steps in an epoch: whole global batches only, the rest of the shuffle waits for another epoch. */
export function stepsPerEpochOf(trainingCount: number, batchSize: number): number {
  return Math.floor(trainingCount / batchSize);
}

/** Images in shard `slice` when trainingCount images are dealt out one by one. */
export function shardSizeOf(trainingCount: number, sliceCount: number, slice: number): number {
  return Math.ceil((trainingCount - slice) / sliceCount);
}

/**
 * The seeded shuffle of the training images dealt into shards like cards: shard s gets the s-th card of every round.
 * @returns per slice the indices of its training images, counted from 0 behind the validation images
 */
export function partitionIntoShards(trainingCount: number, sliceCount: number, seed: number): Uint32Array[] {
  const shuffled = new KeyedRandom(seed, 'deal').permutation(trainingCount);
  return Array.from({ length: sliceCount }, (_, slice) =>
    Uint32Array.from(
      { length: shardSizeOf(trainingCount, sliceCount, slice) },
      (_unused, round) => shuffled[round * sliceCount + slice],
    ),
  );
}

/** Copies records one after the other, in the order of the indices. */
export function gatherRecords(records: Uint8Array, indices: Uint32Array): Uint8Array {
  const gathered = new Uint8Array(indices.length * recordBytes);
  indices.forEach((index, place) => {
    gathered.set(records.subarray(index * recordBytes, (index + 1) * recordBytes), place * recordBytes);
  });
  return gathered;
}

/** The order in which a slice goes through its shard in an epoch: a permutation of 0 to shardSize - 1. */
export function epochOrder(seed: number, epoch: number, slice: number, shardSize: number): Uint32Array {
  return new KeyedRandom(seed, 'epochOrder', epoch, slice).permutation(shardSize);
}

/**
 * Which of a shard's images are flipped in an epoch where flips alternate (Jordan 2024, arXiv:2404.00498, section 3.6):
 * each with probability 1/2 in epoch 0, and from then on in every other epoch the other way round, so that two successive
 * epochs show both views. It depends on the image's place in its shard, not on when the epoch's order has it.
 * @param indices of images in the shard, as the epoch's order holds them
 */
export function alternatingFlip(seed: number, epoch: number, slice: number, indices: Uint32Array): boolean[] {
  const random = new KeyedRandom(seed, 'flip', 0, slice);
  return Array.from(indices, (index) => ((random.wordsAt(index)[0] >>> 31) ^ (epoch & 1)) === 1);
}

/**
 * The views of a slice's images in a step, or of a part's in the validation at a step: each flipped with probability 1/2
 * and cropped at one of 81 corners. Without augmentation every view is the plain one.
 */
export function augmentationsOf(key: {
  /** `augmentation` unless said. */
  purpose?: 'augmentation' | 'validationAugmentation';
  seed: number;
  step: number;
  /** Or the part's number. */
  slice: number;
  count: number;
  augment: boolean;
  /** `zeros` unless said. */
  cropPadding?: CropPadding;
  /** Whether each image is flipped, where that is not drawn here. The crops are the same. */
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

// Images in memory: records, their order, and how each image is augmented and preprocessed. Pure.
import type { DropoutKey } from '../network/dropout.js';
import type { RecordFormat } from './record-format.js';

/** The corner of the crop that leaves an image in place, as a row and as a column, and the default crop margin. */
export const cropMargin = 4;
/** Maximum number of rows and columns of padding that can be added to each side of an image before cropping. */
export const maxCropMargin = 15;
/** The augmentation that leaves an image unchanged. */
export const identityAugmentation = packAugmentation(cropMargin, cropMargin, false);

/** Images in the order in which an engine processes them. */
export interface ImageBatch {
  /** Consecutive records. */
  records: Uint8Array;
  format: RecordFormat;
  /** For each image in the batch, the index of its record in `records`. */
  indices: Uint32Array;
  /** Packed augmentation of each image (see packAugmentation). */
  augmentations: Uint16Array;
  /** Key of the choices of dropout; unset outside training. */
  dropoutKey?: DropoutKey | undefined;
}

export const cropPaddings = ['zeros', 'reflect'] as const;
/**
 * Padding before cropping. `zeros` pads with zero bytes. `reflect` mirrors the image without repeating its edge, as
 * NumPy's `reflect` mode does: row -1 equals row 1.
 */
export type CropPadding = (typeof cropPaddings)[number];

export const flipModes = ['random', 'alternating', 'none'] as const;
/**
 * `random` flips each training image with probability 1/2 in every epoch. `alternating` does so only in the first
 * epoch; in each later epoch, it flips the images that were not flipped in the previous epoch. `none` flips no image.
 */
export type FlipMode = (typeof flipModes)[number];

/**
 * Packs an augmentation into a number. The augmentation flips the image left to right if `flipped`, pads it, and crops the
 * window of the image's size whose upper-left corner is at row `top` and column `left`. Both are relative to a padding of
 * `cropMargin`, so that they are from 0 to 8 with the default margin, and from -11 to 19 with the largest. Bits 0 to 3 hold
 * the lowest bits of `left` and bit 10 the fifth, both modulo 32. Bits 4 to 7 and bit 11 hold `top` in the same way. Bit 8 is
 * the flip, and bit 9 whether the padding is reflected.
 */
export function packAugmentation(top: number, left: number, flipped: boolean, padding: CropPadding = 'zeros'): number {
  const corner = (left & 15) | ((top & 15) << 4) | ((left & 16) << 6) | ((top & 16) << 7);
  return corner | (flipped ? 1 << 8 : 0) | (padding === 'reflect' ? 1 << 9 : 0);
}

export function cropTop(augmentation: number): number {
  return cornerOf(((augmentation >> 4) & 15) | ((augmentation >> 7) & 16));
}

export function cropLeft(augmentation: number): number {
  return cornerOf((augmentation & 15) | ((augmentation >> 6) & 16));
}

/** Returns the number from -11 to 19 that has this remainder modulo 32. */
function cornerOf(remainder: number): number {
  const lowest = cropMargin - maxCropMargin;
  return ((remainder - lowest) & 31) + lowest;
}

export function isFlipped(augmentation: number): boolean {
  return (augmentation & (1 << 8)) !== 0;
}

export function isReflected(augmentation: number): boolean {
  return (augmentation & (1 << 9)) !== 0;
}

export function identityAugmentations(count: number): Uint16Array {
  return new Uint16Array(count).fill(identityAugmentation);
}

export const preprocessingNames = ['imagenet', 'per-pixel-mean', 'standardize', 'none'] as const;
export type PreprocessingName = (typeof preprocessingNames)[number];

/**
 * Preprocessing with values of its own, which are measured on the training images unless the configuration gives them:
 * (byte - subtract) / divide. `none` subtracts 0 and divides by 1.
 */
export interface MeasuredPreprocessing {
  name: Exclude<PreprocessingName, 'imagenet'>;
  /**
   * Values to subtract. `per-pixel-mean`: the mean of each pixel, shape [row, column, raw channel]. `standardize`: the
   * mean of each raw channel. `none`: zeros.
   */
  subtract: Float32Array;
  /**
   * Divisor for each raw channel (red, green and blue, or gray). `per-pixel-mean`: 255. `standardize`: the channel's standard
   * deviation. `none`: 1.
   */
  divide: Float32Array;
}

/**
 * How raw bytes become the network's input, whose channels are blue, green, red, or gray alone. `imagenet` subtracts
 * 103.939, 116.779 and 123.68 from blue, green and red, or the luminance of this color from gray, then divides by 255.
 * Augmentation comes before preprocessing and works on raw bytes.
 */
export type Preprocessing = 'imagenet' | MeasuredPreprocessing;

export function preprocessingName(preprocessing: Preprocessing): PreprocessingName {
  return preprocessing === 'imagenet' ? preprocessing : preprocessing.name;
}

/** Means that `imagenet` preprocessing subtracts. That of gray is 0.299 red + 0.587 green + 0.114 blue. */
export const imagenetMeans = { red: 123.68, green: 116.779, blue: 103.939, gray: 117.378639 } as const;

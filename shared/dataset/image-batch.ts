// Images in memory: records, their order, and how each image is augmented and preprocessed. Pure.
import type { DropoutKey } from '../network/dropout.js';
import type { RecordFormat } from './record-format.js';

/** Rows and columns of padding added to each side of an image before cropping. */
export const cropMargin = 4;
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

export const flipModes = ['random', 'alternating'] as const;
/**
 * `random` flips each training image with probability 1/2 in every epoch. `alternating` does so only in the first
 * epoch; in each later epoch, it flips the images that were not flipped in the previous epoch.
 */
export type FlipMode = (typeof flipModes)[number];

/**
 * Packs an augmentation into a number. The augmentation flips the image left to right if `flipped`, pads it by
 * `cropMargin`, and crops the window of the image's size whose upper-left corner is at row `top` and column `left` of the
 * padded image, each from 0 to 8. Bits 0 to 3 hold `left`, bits 4 to 7 `top`, bit 8 the flip, and bit 9 whether the padding is
 * reflected.
 */
export function packAugmentation(top: number, left: number, flipped: boolean, padding: CropPadding = 'zeros'): number {
  return left | (top << 4) | (flipped ? 1 << 8 : 0) | (padding === 'reflect' ? 1 << 9 : 0);
}

export function cropTop(augmentation: number): number {
  return (augmentation >> 4) & 15;
}

export function cropLeft(augmentation: number): number {
  return augmentation & 15;
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

export const preprocessingNames = ['imagenet', 'per-pixel-mean', 'standardize'] as const;
export type PreprocessingName = (typeof preprocessingNames)[number];

/** Preprocessing with statistics measured on the training images: (byte - subtract) / divide. */
export interface MeasuredPreprocessing {
  name: Exclude<PreprocessingName, 'imagenet'>;
  /**
   * Values to subtract. `per-pixel-mean`: the mean of each pixel, shape [row, column, raw channel]. `standardize`: the
   * mean of each raw channel.
   */
  subtract: Float32Array;
  /**
   * Divisor for each raw channel (red, green and blue, or gray). `per-pixel-mean`: 255. `standardize`: the channel's standard
   * deviation.
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

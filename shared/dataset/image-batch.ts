// Images as everything but the disk sees them: CIFAR-10 records in memory, which of them, and how each is looked at. Pure.
import { imageChannels, imageSize } from '../network/layout.js';

export const pixelsPerPlane = imageSize * imageSize;
/** A CIFAR-10 record: one label byte, then the red, the green and the blue plane, row by row. */
export const recordBytes = 1 + imageChannels * pixelsPerPlane;
/** Rows and columns that are added on each side of an image before it is cropped. */
export const cropMargin = 4;
/** The view that changes nothing: the crop's corner is the image's own, and it is not flipped. */
export const identityAugmentation = packAugmentation(cropMargin, cropMargin, false);

/** Images in the order in which an engine computes them. */
export interface ImageBatch {
  /** CIFAR-10 records, one after the other. */
  records: Uint8Array;
  /** Which records, counted from 0. */
  indices: Uint32Array;
  /** One packed view per image: see packAugmentation. */
  views: Uint16Array;
}

export const cropPaddings = ['zeros', 'reflect'] as const;
/**
 * What the margin around an image is: raw zeros, or the image reflected in its outermost row or column, which is not
 * repeated (as numpy's `reflect`): row -1 is row 1, row 32 is row 30.
 */
export type CropPadding = (typeof cropPaddings)[number];

export const flipModes = ['random', 'alternating'] as const;
/**
 * Which training images are flipped: each by chance whenever it is seen, or by chance in the first epoch and from then on
 * in every other epoch the other way round.
 */
export type FlipMode = (typeof flipModes)[number];

/**
 * Where an augmented image comes from: the image is flipped left to right or not, padded by `cropMargin` on each side,
 * and the 32×32 window whose upper left corner is (top, left), each 0 to 8, is cut out.
 * Bits 0 to 3 hold left, 4 to 7 top, 8 the flip, 9 whether the padding is reflected.
 */
export function packAugmentation(top: number, left: number, flipped: boolean, padding: CropPadding = 'zeros'): number {
  return left | (top << 4) | (flipped ? 1 << 8 : 0) | (padding === 'reflect' ? 1 << 9 : 0);
}

export function cropTop(view: number): number {
  return (view >> 4) & 15;
}

export function cropLeft(view: number): number {
  return view & 15;
}

export function isFlipped(view: number): boolean {
  return (view & (1 << 8)) !== 0;
}

export function isReflected(view: number): boolean {
  return (view & (1 << 9)) !== 0;
}

/** The same plain view for each of count images. */
export function identityAugmentations(count: number): Uint16Array {
  return new Uint16Array(count).fill(identityAugmentation);
}

export const preprocessingNames = ['imagenet', 'per-pixel-mean', 'standardize'] as const;
export type PreprocessingName = (typeof preprocessingNames)[number];

/** Preprocessing by what was measured over the training images: (byte - subtract) / divide. */
export interface MeasuredPreprocessing {
  name: Exclude<PreprocessingName, 'imagenet'>;
  /** `per-pixel-mean`: each pixel's mean, [row, column, raw channel]. `standardize`: each raw channel's. */
  subtract: Float32Array;
  /** Per raw channel (red, green, blue). `per-pixel-mean`: 255. `standardize`: the channel's standard deviation. */
  divide: Float32Array;
}

/**
 * How raw bytes become the network's input, whose channels are blue, green, red in each of them. `imagenet`: less 103.939,
 * 116.779, 123.68, divided by 255. What is cropped and flipped are the raw bytes: preprocessing comes after that.
 */
export type Preprocessing = 'imagenet' | MeasuredPreprocessing;

export function preprocessingName(preprocessing: Preprocessing): PreprocessingName {
  return preprocessing === 'imagenet' ? preprocessing : preprocessing.name;
}

/** Per raw channel (red, green, blue): the value subtracted before the division by 255. */
export const imagenetMeans = { red: 123.68, green: 116.779, blue: 103.939 } as const;

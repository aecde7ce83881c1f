// The images that bench trains with: synthetic ones in the form of CIFAR-10, or noise of another shape.
import type { Dataset, DatasetDescription } from '../../../shared/dataset/description.js';
import { cifar10Description } from '../../../shared/dataset/cifar10-layout.js';
import { noiseRecords } from '../../../shared/dataset/noise.js';
import { recordFormatOf } from '../../../shared/dataset/record-format.js';
import { synthesizeDataset } from '../../../shared/dataset/synthesize.js';

export type ImageShape = Pick<DatasetDescription, 'height' | 'width' | 'channels'>;

export const defaultImageShape: ImageShape = cifar10Description;

/** Returns a shape such as 64x64x3, or undefined if the text is not one. */
export function parseImageShape(text: string): ImageShape | undefined {
  const [, height, width, channels] = (/^(\d{1,3})x(\d{1,3})x([13])$/.exec(text) ?? []).map(Number);
  const isPossible = [height, width].every((size) => size >= 1 && size <= 224);
  return isPossible ? { height, width, channels: channels === 1 ? 1 : 3 } : undefined;
}

/**
 * Returns training images with ten classes.
 * @param bytes approximate size of the images together
 * @param minImages minimum number of images
 */
export function benchDataset(shape: ImageShape, bytes: number, minImages: number): Dataset {
  const { height, width, channels } = shape;
  const count = Math.max(minImages, Math.round(bytes / (height * width * channels)));
  if (shape === defaultImageShape) return synthesizeDataset({ trainingImages: count, testImages: 1 });
  const description = { ...cifar10Description, name: 'noise', height, width, channels };
  const training = noiseRecords(recordFormatOf(description), count);
  return { description, training, validation: null, test: null, source: 'noise' };
}

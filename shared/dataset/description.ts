// What the images of a dataset are: everything that readers, networks and engines must agree on. Pure.
import type { Records } from './records.js';

export const imageFits = ['crop', 'squeeze'] as const;
/** How to bring an image to the size of a dataset: crop it to the center, or change its aspect ratio. */
export type ImageFit = (typeof imageFits)[number];

export const labelKinds = ['fine', 'coarse'] as const;
/** Which of CIFAR-100's two labels to use: 100 fine classes, or 20 coarse ones. */
export type LabelKind = (typeof labelKinds)[number];

/** The images of a dataset. It is plain data: checkpoints store it, and workers receive it. */
export interface DatasetDescription {
  /** Name for display, for example `cifar10` or the name of an image folder. */
  name: string;
  /** Height and width of every image in pixels. */
  height: number;
  width: number;
  /** Number of color channels: 1 for gray, or 3 for red, green and blue. */
  channels: 1 | 3;
  /** Names of the classes. A record's label is an index into them. */
  classNames: readonly string[];
  /**
   * How images of other sizes were brought to this size: cropped to the aspect ratio, or squeezed. Null if all images
   * had this size.
   */
  fit: ImageFit | null;
  /**
   * False if a mirrored image may show something else, as with digits and letters. Such images are never flipped. True if
   * omitted.
   */
  flippable?: boolean | undefined;
}

/** Maximum number of classes. */
export const maxClasses = 65_535;
/** Maximum height and width of an image in pixels. */
export const maxImageSize = 224;

/** The part of a description that the size of an image depends on. */
type ImageForm = Pick<DatasetDescription, 'height' | 'width' | 'channels'>;
/** The part of a description that the size of a record depends on. */
type RecordForm = ImageForm & { classNames: { readonly length: number } };

/** Returns the size of an image in bytes: its planes one after the other, each row by row. */
export function pixelBytesOf({ height, width, channels }: ImageForm): number {
  return height * width * channels;
}

/** Returns the size of a record's label in bytes: 1, or 2 (little-endian) for more than 256 classes. */
export function labelBytesOf({ classNames }: RecordForm): 1 | 2 {
  return classNames.length > 256 ? 2 : 1;
}

/** Returns the size of a record in bytes: the label, then the image. */
export function recordBytesOf(description: RecordForm): number {
  return labelBytesOf(description) + pixelBytesOf(description);
}

/** A dataset whose splits may be in files. Each split is consecutive records. */
export interface StoredDataset extends Omit<Dataset, 'training' | 'validation' | 'test'> {
  training: Records;
  validation: Records | null;
  test: Records | null;
}

/** A dataset in memory. Each split is consecutive records. */
export interface Dataset {
  description: DatasetDescription;
  training: Uint8Array;
  /** Null if validation images are to be set aside from the training images (`validationSplit`). */
  validation: Uint8Array | null;
  /** Null if there are no test images; `report.test` is then null. */
  test: Uint8Array | null;
  /** Where the images come from, for display. */
  source: string;
}

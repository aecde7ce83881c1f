// How the images of a dataset are laid out in its records: a label, then the planes of the image. Pure.
import type { DataShape } from '../network/layout.js';
import { labelBytesOf, pixelBytesOf, recordBytesOf, type DatasetDescription } from './description.js';

export interface RecordFormat extends DataShape {
  /** Size of the label: 1, or 2 (little-endian) for more than 256 classes. */
  labelBytes: 1 | 2;
  /** Number of pixels in a plane. */
  planePixels: number;
  /** Number of values in an image: pixels times channels. In a record, each takes one byte. */
  imageValues: number;
  recordBytes: number;
}

/** Returns the format of records with images of this shape. */
export function recordFormat({ height, width, channels, classCount }: DataShape): RecordFormat {
  const form = { height, width, channels, classNames: { length: classCount } };
  return {
    height,
    width,
    channels,
    classCount,
    labelBytes: labelBytesOf(form),
    planePixels: height * width,
    imageValues: pixelBytesOf(form),
    recordBytes: recordBytesOf(form),
  };
}

export function recordFormatOf({ height, width, channels, classNames }: DatasetDescription): RecordFormat {
  return recordFormat({ height, width, channels, classCount: classNames.length });
}

/** Returns the label of the record at this index. */
export function labelAt(records: Uint8Array, index: number, { labelBytes, recordBytes }: RecordFormat): number {
  const at = index * recordBytes;
  return labelBytes === 1 ? records[at] : records[at] | (records[at + 1] << 8);
}

/** Returns the index of the first record whose label is not a class; undefined if there is none. */
export function firstInvalidLabel(records: Uint8Array, format: RecordFormat): number | undefined {
  const count = records.length / format.recordBytes;
  for (let index = 0; index < count; index++) {
    if (labelAt(records, index, format) >= format.classCount) return index;
  }
  return undefined;
}

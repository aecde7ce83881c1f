// The layout of CIFAR-10's official binary files, and a dataset in memory. Does no I/O.
import { classCount } from '../network/layout.js';
import { recordBytes } from './image-batch.js';

/**
 * A complete dataset in memory. Each record is a label byte, followed by the red, green and blue planes (see
 * image-batch.ts).
 */
export interface Cifar10 {
  /** Names of the classes with labels 0 to 9, in this order. */
  classNames: readonly string[];
  /** Records of the training images (batches 1 to 5). */
  training: Uint8Array;
  /** Records of the test images. */
  test: Uint8Array;
  /** Where the images come from, for display: for example `CIFAR-10 files in data` or `synthetic images (…)`. */
  source: string;
}

export const trainingFiles = [1, 2, 3, 4, 5].map((batch) => `data_batch_${batch}.bin`);
export const testFile = 'test_batch.bin';
/** File with the ten class names, one per line. */
export const classNamesFile = 'batches.meta.txt';
export const cifar10Files: readonly string[] = [...trainingFiles, testFile, classNamesFile];
/** Folder in the official archive that contains the files. */
export const archiveFolder = 'cifar-10-batches-bin';

/** Class names in the official batches.meta.txt. */
export const officialClassNames: readonly string[] = [
  'airplane',
  'automobile',
  'bird',
  'cat',
  'deer',
  'dog',
  'frog',
  'horse',
  'ship',
  'truck',
];

export function imageCountOf(records: Uint8Array): number {
  return records.length / recordBytes;
}

/** Returns the number of images in each class. Ignores labels above 9. */
export function countPerClass(records: Uint8Array): Uint32Array {
  const counts = new Uint32Array(classCount);
  for (let offset = 0; offset < records.length; offset += recordBytes) {
    const label = records[offset];
    if (label < classCount) counts[label] += 1;
  }
  return counts;
}

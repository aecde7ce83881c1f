// The layout of CIFAR-10's official binary files, and a dataset in memory. Does no I/O.
import type { Dataset, DatasetDescription } from './description.js';
import { labelAt, recordFormatOf, type RecordFormat } from './record-format.js';

/** A complete dataset with the description of CIFAR-10, except for its name and the names of its classes. */
export interface Cifar10 extends Dataset {
  /** Records of the training images (batches 1 to 5). */
  training: Uint8Array;
  validation: null;
  test: Uint8Array;
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

/** Returns the description of CIFAR-10, or of a dataset of the same shape. */
export function describeCifar10(classNames: readonly string[], name = 'cifar10'): DatasetDescription {
  return { name, height: 32, width: 32, channels: 3, classNames, fit: null };
}

export const cifar10Description: DatasetDescription = describeCifar10(officialClassNames);
/** Format of a record: a label byte, then the red, green and blue planes, row by row. */
export const cifar10Format: RecordFormat = recordFormatOf(cifar10Description);

export function imageCountOf(records: Uint8Array): number {
  return records.length / cifar10Format.recordBytes;
}

/** Returns the number of images in each class. Ignores labels above 9. */
export function countPerClass(records: Uint8Array): Uint32Array {
  const counts = new Uint32Array(cifar10Format.classCount);
  for (let image = 0; image < imageCountOf(records); image++) {
    const label = labelAt(records, image, cifar10Format);
    if (label < counts.length) counts[label] += 1;
  }
  return counts;
}

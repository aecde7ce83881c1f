// The layout of CIFAR-10's official binary files, and a dataset in memory. Does no I/O.
import { classCount } from '../network/layout.js';
import { recordBytes } from './image-batch.js';

/** A whole dataset in memory. Records as in image-batch.ts: a label byte, then the red, green and blue planes. */
export interface Cifar10 {
  /** Names of the labels 0 to 9. */
  classNames: readonly string[];
  /** Records of batches 1 to 5. */
  training: Uint8Array;
  /** Records of the test batch. */
  test: Uint8Array;
  /** Where the images come from, for display: the folder, or 'synthetic …'. */
  source: string;
}

export const trainingFiles = [1, 2, 3, 4, 5].map((batch) => `data_batch_${batch}.bin`);
export const testFile = 'test_batch.bin';
/** Holds the ten class names, one per line. */
export const classNamesFile = 'batches.meta.txt';
export const cifar10Files: readonly string[] = [...trainingFiles, testFile, classNamesFile];
/** Folder that the official archive unpacks to. */
export const archiveFolder = 'cifar-10-batches-bin';

/** The names in the official batches.meta.txt. */
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

/** Number of images of each class. Labels above 9 are not counted. */
export function countPerClass(records: Uint8Array): Uint32Array {
  const counts = new Uint32Array(classCount);
  for (let offset = 0; offset < records.length; offset += recordBytes) {
    const label = records[offset];
    if (label < classCount) counts[label] += 1;
  }
  return counts;
}

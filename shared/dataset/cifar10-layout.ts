// CIFAR-10 as its official binary files lay it out, and as everything behind the disk holds it. Reads and writes nothing.
import { classCount } from '../network/layout.js';
import { recordBytes } from './image-batch.js';

/** A whole data set in memory. Records are those of image-batch.ts: a label byte, then the red, green and blue planes. */
export interface Cifar10 {
  /** Ten names, in the order of the labels 0 to 9. */
  classNames: readonly string[];
  /** The records of batches 1 to 5, one after the other. */
  training: Uint8Array;
  /** The records of the test batch. */
  test: Uint8Array;
  /** Where the images come from, in plain words: the folder, or 'synthetic …'. */
  source: string;
}

export const trainingFiles = [1, 2, 3, 4, 5].map((batch) => `data_batch_${batch}.bin`);
export const testFile = 'test_batch.bin';
/** The ten class names, one a line. */
export const classNamesFile = 'batches.meta.txt';
export const cifar10Files: readonly string[] = [...trainingFiles, testFile, classNamesFile];
/** The folder that the official archive unpacks to. */
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

/** Images in a run of records. */
export function imageCountOf(records: Uint8Array): number {
  return records.length / recordBytes;
}

/** How many images each of the ten classes has. Labels above 9 are not counted. */
export function countPerClass(records: Uint8Array): Uint32Array {
  const counts = new Uint32Array(classCount);
  for (let offset = 0; offset < records.length; offset += recordBytes) {
    const label = records[offset];
    if (label < classCount) counts[label] += 1;
  }
  return counts;
}

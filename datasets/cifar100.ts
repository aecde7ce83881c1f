// Reads CIFAR-100's official binary version: train.bin and test.bin.
import path from 'node:path';
import type { Dataset } from '../shared/dataset/description.js';
import { coarseClassNames, fineClassNames } from './class-names.js';
import { badData, fileSize, readFileBytes, readLines } from './file-bytes.js';
import type { LabelKind } from '../shared/dataset/description.js';

/** Folder in the official archive that contains the files. */
const archiveFolder = 'cifar-100-binary';
export const cifar100Files = ['train.bin', 'test.bin', 'fine_label_names.txt', 'coarse_label_names.txt'];

const imageSize = 32;
const pixelBytes = 3 * imageSize * imageSize;
/** Each record is the coarse label, the fine label, then the red, green and blue planes. */
const storedBytes = 2 + pixelBytes;
const recordBytes = 1 + pixelBytes;

const labelKinds = {
  coarse: { offset: 0, namesFile: 'coarse_label_names.txt', classNames: coarseClassNames },
  fine: { offset: 1, namesFile: 'fine_label_names.txt', classNames: fineClassNames },
};

/** Returns the folder with CIFAR-100's files: `directory` or its subfolder; undefined if neither contains any. */
export async function findCifar100(directory: string): Promise<string | undefined> {
  for (const folder of [directory, path.join(directory, archiveFolder)]) {
    for (const name of ['train.bin', 'test.bin']) {
      if ((await fileSize(path.join(folder, name))) !== undefined) return folder;
    }
  }
  return undefined;
}

/** Reads and checks both splits. Throws `bad-data` for a missing, truncated or otherwise damaged file. */
export async function readCifar100(folder: string, labels: LabelKind): Promise<Dataset> {
  const classNames = await readClassNames(folder, labels);
  return {
    description: {
      name: labels === 'fine' ? 'cifar100' : 'cifar100-coarse',
      height: imageSize,
      width: imageSize,
      channels: 3,
      classNames,
      fit: null,
    },
    training: await readSplit(path.join(folder, 'train.bin'), labels),
    validation: null,
    test: await readSplit(path.join(folder, 'test.bin'), labels),
    source: `CIFAR-100 files in ${folder} (${labels} labels)`,
  };
}

async function readSplit(file: string, labels: LabelKind): Promise<Uint8Array> {
  const remedy = remedyFor(path.dirname(file));
  const stored = await readFileBytes(file, remedy);
  const count = Math.floor(stored.length / storedBytes);
  if (count === 0 || stored.length % storedBytes !== 0) {
    throw badData(
      `${file} is truncated or is not CIFAR-100's binary version: it has ${stored.length} bytes, expected a multiple ` +
        `of ${storedBytes}, the size of a record. ${remedy}`,
    );
  }
  const records = new Uint8Array(count * recordBytes);
  for (let index = 0; index < count; index++) {
    const from = index * storedBytes;
    for (const kind of ['coarse', 'fine'] as const) {
      const { offset, classNames } = labelKinds[kind];
      const label = stored[from + offset];
      if (label < classNames.length) continue;
      throw badData(
        `${file}: record ${index} (at byte ${from}) has the ${kind} label ${label}; ${kind} labels are 0 to ` +
          `${classNames.length - 1}. The file is damaged or is not CIFAR-100's binary version. ${remedy}`,
      );
    }
    records[index * recordBytes] = stored[from + labelKinds[labels].offset];
    records.set(stored.subarray(from + 2, from + storedBytes), index * recordBytes + 1);
  }
  return records;
}

/** Reads the names from the official text file. If it is missing, the names are the official ones. */
async function readClassNames(folder: string, labels: LabelKind): Promise<readonly string[]> {
  const { namesFile, classNames } = labelKinds[labels];
  const file = path.join(folder, namesFile);
  const names = await readLines(file);
  if (names === undefined) return classNames;
  if (names.length === classNames.length) return names;
  throw badData(
    `${file} has ${names.length} class names: it must have ${classNames.length}, one per line. ${remedyFor(folder)}`,
  );
}

function remedyFor(folder: string): string {
  const directory = path.basename(folder) === archiveFolder ? path.dirname(folder) : folder;
  return `Download it again with 'lockstep data download cifar100 ${directory}'.`;
}

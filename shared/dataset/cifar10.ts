// CIFAR-10 on disk: finds, reads, checks and writes the official binary files.
import { mkdir, mkdtemp, open, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { LockstepError, messageOf, systemCodeOf } from '../errors.js';
import {
  archiveFolder,
  cifar10Files,
  cifar10Format,
  classNamesFile,
  describeCifar10,
  imageCountOf,
  testFile,
  trainingFiles,
  type Cifar10,
} from './cifar10-layout.js';

export type { Cifar10 } from './cifar10-layout.js';

const { classCount, recordBytes } = cifar10Format;

/** Folder to search if none is specified. */
export const defaultDataDirectory = 'data';

/** Maximum number of bytes per read. Node.js cannot read 2 GiB or more at once. */
const maxBytesPerRead = 2 ** 30;

/** One of the six image files. */
export interface BatchFile {
  name: string;
  path: string;
  /** Number of images, at least 1. */
  records: number;
}

/**
 * Returns whether a folder, or its subfolder `cifar-10-batches-bin`, contains a batch file. An incomplete set counts,
 * so that loadCifar10 reports the missing files instead of a run silently using other images.
 */
export async function holdsCifar10(directory: string): Promise<boolean> {
  return (await hasBatchFile(directory)) || (await hasBatchFile(path.join(directory, archiveFolder)));
}

/**
 * Reads and checks a complete dataset.
 * @param directory folder that contains the batch files or the official archive's `cifar-10-batches-bin` folder
 * Throws `bad-data` if the folder or a file is missing, an image file does not consist of whole records, a label is
 * above 9, or there are not exactly ten class names.
 */
export async function loadCifar10(directory: string): Promise<Cifar10> {
  const folder = await findBatchFolder(directory);
  const files = await measureBatchFiles(folder);
  const classNames = await readClassNames(folder);
  return {
    description: describeCifar10(classNames),
    training: await readRecords(files.filter(({ name }) => name !== testFile)),
    test: await readRecords(files.filter(({ name }) => name === testFile)),
    validation: null,
    source: `CIFAR-10 files in ${folder}`,
  };
}

/**
 * Returns the image files with their numbers of records: batches 1 to 5, then the test batch. Does not read the files.
 * Throws `bad-data` if the folder or a file is missing, or if a file does not consist of whole records.
 */
export async function batchFilesOf(directory: string): Promise<BatchFile[]> {
  return measureBatchFiles(await findBatchFolder(directory));
}

/**
 * Writes a dataset in the format of the official files, with the training images in five batches of nearly equal size.
 * Moves the files to their final names only after all have been written.
 * @param options.overwrite whether to replace an existing dataset (default: false)
 * Throws `bad-data` if the folder already contains CIFAR-10 and `overwrite` is false, if the folder cannot be written,
 * or if there are fewer than five training images or no test images.
 */
export async function writeCifar10(
  directory: string,
  dataset: Cifar10,
  options: { overwrite?: boolean } = {},
): Promise<void> {
  const trainingCount = imageCountOf(dataset.training);
  if (trainingCount < trainingFiles.length || imageCountOf(dataset.test) < 1) {
    throw new LockstepError(
      'bad-data',
      `cannot write ${trainingCount} training and ${imageCountOf(dataset.test)} test images: ` +
        'each of the five training batches and the test batch needs at least one image',
    );
  }
  if (options.overwrite !== true) await assertNoCifar10(directory);
  const write = async (temporary: string) => {
    for (const [batch, name] of trainingFiles.entries()) {
      const first = Math.floor((trainingCount * batch) / trainingFiles.length);
      const end = Math.floor((trainingCount * (batch + 1)) / trainingFiles.length);
      await writeFile(path.join(temporary, name), dataset.training.subarray(first * recordBytes, end * recordBytes));
    }
    await writeFile(path.join(temporary, testFile), dataset.test);
    await writeFile(path.join(temporary, classNamesFile), `${dataset.description.classNames.join('\n')}\n`);
    await installCifar10Files(temporary, directory);
  };
  try {
    await withTemporaryFolder(directory, write);
  } catch (error) {
    throw new LockstepError('bad-data', `cannot write CIFAR-10 files to ${directory}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** Throws `bad-data` if a folder contains CIFAR-10 files. */
export async function assertNoCifar10(directory: string): Promise<void> {
  if (!(await holdsCifar10(directory))) return;
  throw new LockstepError(
    'bad-data',
    `${directory} already holds CIFAR-10 files: choose another folder, or use \`overwrite\` to replace them`,
  );
}

/**
 * Moves the seven files into place, replacing existing ones. The class-name file is removed first and moved last, so
 * that an interruption leaves an obviously incomplete set rather than an undetected mixture of two sets.
 */
export async function installCifar10Files(from: string, directory: string): Promise<void> {
  await rm(path.join(directory, classNamesFile), { force: true });
  for (const name of cifar10Files) await rename(path.join(from, name), path.join(directory, name));
}

/**
 * Calls `use` with a temporary folder, which is deleted afterward. The folder is inside `directory`, because files
 * can be renamed into `directory` only from the same file system.
 */
export async function withTemporaryFolder<Result>(
  directory: string,
  use: (temporary: string) => Promise<Result>,
): Promise<Result> {
  await mkdir(directory, { recursive: true });
  const temporary = await mkdtemp(path.join(directory, '.incoming-'));
  try {
    return await use(temporary);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

async function hasBatchFile(folder: string): Promise<boolean> {
  for (const name of [...trainingFiles, testFile]) {
    const found = await stat(path.join(folder, name)).catch(() => undefined);
    if (found?.isFile() === true) return true;
  }
  return false;
}

async function findBatchFolder(directory: string): Promise<string> {
  const found = await stat(directory).catch((error: unknown) => {
    throw noDataFolder(directory, error);
  });
  if (!found.isDirectory()) {
    throw new LockstepError(
      'bad-data',
      `${directory} is a file; expected the folder that contains ${trainingFiles[0]} and the other files`,
    );
  }
  const unpacked = path.join(directory, archiveFolder);
  return !(await hasBatchFile(directory)) && (await hasBatchFile(unpacked)) ? unpacked : directory;
}

async function measureBatchFiles(folder: string): Promise<BatchFile[]> {
  const files: BatchFile[] = [];
  for (const name of [...trainingFiles, testFile]) {
    const file = path.join(folder, name);
    const found = await stat(file).catch((error: unknown) => {
      throw unreadable(file, folder, error);
    });
    if (!found.isFile()) throw new LockstepError('bad-data', `${file} is not a file. ${remedyFor(folder)}`);
    files.push({ name, path: file, records: wholeRecords(file, found.size) });
  }
  return files;
}

function wholeRecords(file: string, bytes: number): number {
  const below = Math.floor(bytes / recordBytes);
  if (below >= 1 && bytes % recordBytes === 0) return below;
  const expected = below === 0 ? `at least ${describeSize(1)}` : `${describeSize(below)} or ${describeSize(below + 1)}`;
  throw new LockstepError(
    'bad-data',
    `${file} is truncated or is not CIFAR-10's binary version: it has ${bytes} bytes, expected ${expected} ` +
      `for whole records of ${recordBytes} bytes. ${remedyFor(path.dirname(file))}`,
  );
}

function describeSize(records: number): string {
  return `${records * recordBytes} (${records} record${records === 1 ? '' : 's'})`;
}

async function readRecords(files: readonly BatchFile[]): Promise<Uint8Array> {
  const total = files.reduce((sum, { records }) => sum + records, 0);
  const records = new Uint8Array(total * recordBytes);
  let offset = 0;
  for (const file of files) {
    const own = records.subarray(offset, offset + file.records * recordBytes);
    await readInto(own, file.path);
    checkLabels(own, file.path);
    offset += own.length;
  }
  return records;
}

async function readInto(target: Uint8Array, file: string): Promise<void> {
  const folder = path.dirname(file);
  const handle = await open(file).catch((error: unknown) => {
    throw unreadable(file, folder, error);
  });
  try {
    for (let filled = 0; filled < target.length;) {
      const length = Math.min(target.length - filled, maxBytesPerRead);
      const { bytesRead } = await handle.read(target, filled, length, filled);
      if (bytesRead === 0) {
        throw new LockstepError(
          'bad-data',
          `${file} shrank from ${target.length} to ${filled} bytes while it was being read. ${remedyFor(folder)}`,
        );
      }
      filled += bytesRead;
    }
  } catch (error) {
    throw error instanceof LockstepError ? error : unreadable(file, folder, error);
  } finally {
    await handle.close();
  }
}

function checkLabels(records: Uint8Array, file: string): void {
  for (let offset = 0; offset < records.length; offset += recordBytes) {
    const label = records[offset];
    if (label < classCount) continue;
    throw new LockstepError(
      'bad-data',
      `${file}: record ${offset / recordBytes} (at byte ${offset}) has the label ${label}; ` +
        `labels are 0 to ${classCount - 1}. The file is damaged or is not CIFAR-10's binary version. ` +
        remedyFor(path.dirname(file)),
    );
  }
}

async function readClassNames(folder: string): Promise<string[]> {
  const file = path.join(folder, classNamesFile);
  const handle = await open(file).catch((error: unknown) => {
    throw unreadable(file, folder, error);
  });
  let text: string;
  try {
    text = await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
  // The official file ends with an empty line.
  const names = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  if (names.length !== classCount) {
    throw new LockstepError(
      'bad-data',
      `${file} has ${names.length} class name${names.length === 1 ? '' : 's'} in ${Buffer.byteLength(text)} bytes: ` +
        `it must have ${classCount}, one per line. ${remedyFor(folder)}`,
    );
  }
  return names;
}

function unreadable(file: string, folder: string, error: unknown): LockstepError {
  const reason =
    systemCodeOf(error) === 'ENOENT'
      ? `is missing (CIFAR-10's binary version consists of ${cifar10Files.length} files: ${cifar10Files.join(', ')})`
      : `cannot be read: ${messageOf(error)}`;
  return new LockstepError('bad-data', `${file} ${reason}. ${remedyFor(folder)}`, { cause: error });
}

function noDataFolder(directory: string, cause: unknown): LockstepError {
  const code = systemCodeOf(cause);
  const message =
    code === 'ENOENT'
      ? `the data folder ${directory} does not exist: specify the folder that contains the CIFAR-10 files, or download ` +
        `them with 'lockstep data download ${directory}'`
      : `cannot read the data folder ${directory} (${code ?? messageOf(cause)}): specify a folder that you can read`;
  return new LockstepError('bad-data', message, { cause });
}

function remedyFor(folder: string): string {
  const directory = path.basename(folder) === archiveFolder ? path.dirname(folder) : folder;
  return `Check the folder with 'lockstep data verify ${directory}' or download it again with 'lockstep data download ${directory}'.`;
}

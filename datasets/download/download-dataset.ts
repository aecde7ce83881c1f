// Downloads a public dataset: resumes interrupted downloads, checks sizes and MD5s, and unpacks an archive.
import { mkdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { withTemporaryFolder } from '../../shared/dataset/cifar10.js';
import { recordBytesOf, type Dataset } from '../../shared/dataset/description.js';
import type { DownloadOutcome } from '../../shared/dataset/download.js';
import { completePartialFile, extractFiles, md5Of, sizeOf } from '../../shared/dataset/resumable-download.js';
import { LockstepError, messageOf } from '../../shared/errors.js';
import { cifar100Files, readCifar100 } from '../cifar100.js';
import { badData, isFolder } from '../file-bytes.js';
import { locateDataset, readDataset } from '../read-dataset.js';
import { knownDatasets, type KnownDataset, type KnownDatasetName } from './known-datasets.js';

export interface DownloadDatasetOptions {
  /** URL of a mirror: of the archive, or of the folder with the files. */
  url?: string | undefined;
  /** Files to download (default: those that the authors published). */
  known?: KnownDataset;
  /** Whether to replace a different dataset of the same format in the folder (default: false). */
  overwrite?: boolean;
  /** Called as bytes arrive, with the bytes of all files. */
  onProgress?: (received: number, total: number) => void;
  /** Aborts the download. The bytes received so far are kept, and the next download resumes after them. */
  signal?: AbortSignal;
}

/**
 * Downloads the files of a dataset into `directory`, unless they are already there.
 * Throws `download-failed` if a file cannot be downloaded or is a different one, `bad-data` if the folder contains
 * another dataset, and `interrupted` if the download is aborted.
 */
export async function downloadDataset(
  name: KnownDatasetName,
  directory: string,
  options: DownloadDatasetOptions = {},
): Promise<DownloadOutcome> {
  const known = options.known ?? knownDatasets[name];
  try {
    if (await holds(name, known, directory, options.overwrite === true)) return 'already there';
    await mkdir(directory, { recursive: true });
    return await (known.isArchive ? fetchArchive : fetchFiles)(known, directory, options);
  } catch (error) {
    if (error instanceof LockstepError) throw error;
    throw new LockstepError(
      'download-failed',
      `cannot download ${known.title} into ${directory}: ${messageOf(error)}`,
      {
        cause: error,
      },
    );
  }
}

/** Returns whether the folder holds the dataset. Throws `bad-data` if it holds a different one. */
async function holds(
  name: KnownDatasetName,
  known: KnownDataset,
  directory: string,
  overwrite: boolean,
): Promise<boolean> {
  if (!(await isFolder(directory))) return false;
  // Damaged, incomplete and unknown files do not prevent a download.
  const located = await locateDataset(directory).catch(() => undefined);
  if (located === undefined) return false;
  const format = known.isArchive ? 'cifar100' : 'idx';
  if (located.format !== format) {
    throw badData(
      `${directory} already holds another dataset, which would be read instead of ${known.title}: choose another folder`,
    );
  }
  if (located.folder !== directory) return false;
  const dataset = await readDataset(directory).catch(() => undefined);
  if (dataset === undefined) return false;
  // Files with the same names and numbers of images may be of either MNIST or Fashion-MNIST.
  const isSame =
    isOf(known, dataset) &&
    (known.isArchive || dataset.description.name === name || (await haveSameFiles(known, directory)));
  if (isSame || overwrite) return isSame;
  throw badData(
    `${directory} already holds a different dataset (${dataset.source}, ${describeCounts(dataset)}): choose another ` +
      'folder, or use `overwrite` to replace it',
  );
}

/** Returns whether the dataset has as many images as the official one. */
function isOf(known: KnownDataset, dataset: Dataset): boolean {
  const [training, test] = countsOf(dataset);
  return training === known.trainingImages && test === known.testImages;
}

async function haveSameFiles(known: KnownDataset, directory: string): Promise<boolean> {
  for (const file of known.files) {
    if (!(await isComplete(path.join(directory, file.name), file))) return false;
  }
  return true;
}

async function isComplete(file: string, { bytes, md5 }: KnownDataset['files'][number]): Promise<boolean> {
  return (await sizeOf(file)) === bytes && (await md5Of(file)) === md5;
}

/** Downloads files that are read as they are. Files that are already complete are kept. */
async function fetchFiles(
  known: KnownDataset,
  directory: string,
  options: DownloadDatasetOptions,
): Promise<DownloadOutcome> {
  const total = known.files.reduce((sum, { bytes }) => sum + bytes, 0);
  const base = options.url ?? known.url;
  let before = 0;
  for (const file of known.files) {
    const target = path.join(directory, file.name);
    const url = new URL(file.name, base.endsWith('/') ? base : `${base}/`).href;
    if (!(await isComplete(target, file))) {
      const start = before;
      await fetchFile(url, target, file, {
        ...options,
        onProgress: (received) => options.onProgress?.(start + received, total),
      });
    }
    // An unpacked copy would be read instead.
    await rm(target.replace(/\.gz$/, ''), { force: true });
    before += file.bytes;
    options.onProgress?.(before, total);
  }
  checkContents(known, await readDataset(directory), directory);
  return 'downloaded';
}

/** Downloads an archive and unpacks it. An archive that is already in the folder is unpacked without the network. */
async function fetchArchive(
  known: KnownDataset,
  directory: string,
  options: DownloadDatasetOptions,
): Promise<DownloadOutcome> {
  const [file] = known.files;
  const archive = path.join(directory, file.name);
  const wasThere = (await sizeOf(archive)) !== undefined;
  if (wasThere && !(await isComplete(archive, file))) {
    throw new LockstepError(
      'download-failed',
      `${archive} is incomplete or is not the official archive, which has ${file.bytes} bytes and the MD5 ${file.md5}: ` +
        'copy it again, or delete it and run the command again to download it',
    );
  }
  if (!wasThere) await fetchFile(options.url ?? new URL(file.name, known.url).href, archive, file, options);
  await withTemporaryFolder(directory, async (temporary) => {
    await extractFiles(archive, temporary, cifar100Files);
    checkContents(known, await readCifar100(temporary, 'fine'), archive);
    for (const name of cifar100Files) await rename(path.join(temporary, name), path.join(directory, name));
  });
  if (!wasThere) await rm(archive, { force: true });
  return wasThere ? 'unpacked' : 'downloaded';
}

/** Downloads a file to its final name after its MD5 has been checked. */
async function fetchFile(
  url: string,
  target: string,
  { bytes, md5 }: KnownDataset['files'][number],
  { onProgress, signal }: Pick<DownloadDatasetOptions, 'onProgress' | 'signal'>,
): Promise<void> {
  const partialPath = `${target}.partial`;
  const failed = (problem: string, cause?: unknown) =>
    new LockstepError(
      'download-failed',
      `${problem}. Run the command again to retry. If this machine has no network access, download ${url} on another ` +
        `machine, copy the file to ${target}, and then run the command again`,
      { cause },
    );
  await completePartialFile({ url, bytes, partialPath, failed, onProgress, signal });
  const found = await md5Of(partialPath);
  if (found !== md5) {
    await rm(partialPath, { force: true });
    throw failed(`${url} has the MD5 ${found}, expected ${md5}: it is damaged or a different file, and was deleted`);
  }
  await rename(partialPath, target);
}

function checkContents(known: KnownDataset, dataset: Dataset, location: string): void {
  if (isOf(known, dataset)) return;
  throw new LockstepError('download-failed', `${location} holds ${describeCounts(dataset)}: it is not ${known.title}`);
}

function countsOf({ description, training, test }: Dataset): [training: number, test: number] {
  const recordBytes = recordBytesOf(description);
  return [training.length / recordBytes, (test?.length ?? 0) / recordBytes];
}

function describeCounts(dataset: Dataset): string {
  const [training, test] = countsOf(dataset);
  return `${training} training and ${test} test images`;
}

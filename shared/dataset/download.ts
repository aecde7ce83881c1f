// Downloads the official CIFAR-10 archive: resumes interrupted downloads, checks the MD5, and unpacks the seven files.
import { mkdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { LockstepError, messageOf } from '../errors.js';
import { cifar10Files, imageCountOf, officialClassNames, type Cifar10 } from './cifar10-layout.js';
import { holdsCifar10, installCifar10Files, loadCifar10, withTemporaryFolder } from './cifar10.js';
import { completePartialFile, extractFiles, md5Of, sizeOf } from './resumable-download.js';

/** Source, checksum and contents of an archive. */
export interface CifarArchive {
  url: string;
  bytes: number;
  /** MD5 checksum in hex. */
  md5: string;
  trainingImages: number;
  testImages: number;
}

/** CIFAR-10's binary version, as published by its authors. */
export const officialArchive: CifarArchive = {
  url: 'https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz',
  bytes: 170_052_171,
  md5: 'c32a1d4ab5d03f1284b67883e8d87530',
  trainingImages: 50_000,
  testImages: 10_000,
};

/** File name of the archive in the data folder. An incomplete download has the suffix `.partial`. */
export const archiveFile = 'cifar-10-binary.tar.gz';

export interface DownloadOptions {
  /** URL of a mirror of the archive (default: the archive's own URL). */
  url?: string;
  /** Archive to download (default: the official one). The file at `url` must have this archive's size and MD5. */
  archive?: CifarArchive;
  /**
   * Whether to replace a different dataset in the folder (default: false). A damaged or incomplete dataset is always
   * replaced.
   */
  overwrite?: boolean;
  /** Called as bytes arrive. `received` includes bytes from an earlier, interrupted download. */
  onProgress?: (received: number, total: number) => void;
  /** Aborts the download. The bytes received so far are kept, and the next download resumes after them. */
  signal?: AbortSignal;
}

/** `unpacked` means that the archive was already in the folder and the network was not used. */
export type DownloadOutcome = 'downloaded' | 'unpacked' | 'already there';

/**
 * Downloads the official files into `directory`, unless they are already there.
 * Throws `download-failed` if the archive cannot be downloaded or is invalid, `bad-data` if the folder contains a
 * different dataset and `overwrite` is false, and `interrupted` if the download is aborted.
 */
export async function downloadCifar10(directory: string, options: DownloadOptions = {}): Promise<DownloadOutcome> {
  const archive = options.archive ?? officialArchive;
  const url = options.url ?? archive.url;
  const archivePath = path.join(directory, archiveFile);
  const partialPath = `${archivePath}.partial`;
  const failed = (problem: string, cause?: unknown) =>
    new LockstepError(
      'download-failed',
      `${problem}. Run the command again to retry. If this machine has no network access, download ${archive.url} on ` +
        `another machine, copy the file to ${archivePath}, and then run the command again`,
      { cause },
    );

  try {
    if (await holdsSetOf(archive, directory, options.overwrite === true)) return 'already there';
    await mkdir(directory, { recursive: true });
    const localBytes = await sizeOf(archivePath);
    if (localBytes !== undefined) {
      await checkLocalArchive(archivePath, localBytes, archive);
      await unpack(archivePath, directory, archive);
      await rm(partialPath, { force: true });
      return 'unpacked';
    }
    const { onProgress, signal } = options;
    await completePartialFile({ url, bytes: archive.bytes, partialPath, failed, onProgress, signal });
    const md5 = await md5Of(partialPath);
    if (md5 !== archive.md5) {
      await rm(partialPath, { force: true });
      throw failed(
        `${url} has the MD5 ${md5}, expected ${archive.md5}: it is damaged or a different file, and was deleted`,
      );
    }
    await rename(partialPath, archivePath);
    await unpack(archivePath, directory, archive);
    await rm(archivePath, { force: true });
    return 'downloaded';
  } catch (error) {
    if (error instanceof LockstepError) throw error;
    throw failed(`${url} cannot be downloaded into ${directory}: ${messageOf(error)}`, error);
  }
}

/**
 * Returns whether the folder contains the archive's dataset, judging by the numbers of images and the class names.
 * Throws `bad-data` if the folder contains a different valid dataset, unless `overwrite` is true.
 */
async function holdsSetOf(archive: CifarArchive, directory: string, overwrite: boolean): Promise<boolean> {
  if (!(await holdsCifar10(directory))) return false;
  let dataset: Cifar10;
  try {
    dataset = await loadCifar10(directory);
  } catch (error) {
    if (error instanceof LockstepError) return false;
    throw error;
  }
  if (isSetOf(archive, dataset)) return true;
  if (overwrite) return false;
  throw new LockstepError(
    'bad-data',
    `${directory} already holds a different dataset: ${imageCountOf(dataset.training)} training and ` +
      `${imageCountOf(dataset.test)} test images of ${dataset.description.classNames.join(', ')}. ` +
      'Choose another folder, or use `overwrite` to replace it',
  );
}

function isSetOf(archive: CifarArchive, dataset: Cifar10): boolean {
  return (
    imageCountOf(dataset.training) === archive.trainingImages &&
    imageCountOf(dataset.test) === archive.testImages &&
    dataset.description.classNames.join() === officialClassNames.join()
  );
}

/**
 * Throws `download-failed` if the archive has the wrong size or MD5. Does not delete it, because the user put it there.
 */
async function checkLocalArchive(archivePath: string, bytes: number, archive: CifarArchive): Promise<void> {
  const md5 = bytes === archive.bytes ? await md5Of(archivePath) : undefined;
  if (md5 === archive.md5) return;
  const difference =
    md5 === undefined ? `has ${bytes} bytes, expected ${archive.bytes}` : `has the MD5 ${md5}, expected ${archive.md5}`;
  throw new LockstepError(
    'download-failed',
    `${archivePath} is incomplete or is not the archive from ${archive.url}: it ${difference}. ` +
      'Copy it again, or delete it and run the command again to download it',
  );
}

/** Unpacks the seven files into a temporary folder, checks them, and moves them into place. */
async function unpack(archivePath: string, directory: string, archive: CifarArchive): Promise<void> {
  await withTemporaryFolder(directory, async (temporary) => {
    await extractFiles(archivePath, temporary, cifar10Files);
    const dataset = await loadCifar10(temporary);
    if (!isSetOf(archive, dataset)) {
      throw new LockstepError(
        'download-failed',
        `${archivePath} holds ${imageCountOf(dataset.training)} training and ${imageCountOf(dataset.test)} test images ` +
          `of ${dataset.description.classNames.join(', ')}: it is not CIFAR-10`,
      );
    }
    await installCifar10Files(temporary, directory);
  });
}

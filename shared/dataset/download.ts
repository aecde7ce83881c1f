// Downloads the official CIFAR-10 archive: resumes interrupted downloads, checks the MD5, and unpacks the seven files.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import * as tar from 'tar';
import { LockstepError, messageOf, systemCodeOf } from '../errors.js';
import { cifar10Files, imageCountOf, officialClassNames, type Cifar10 } from './cifar10-layout.js';
import { holdsCifar10, installCifar10Files, loadCifar10, withTemporaryFolder } from './cifar10.js';

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

/**
 * Maximum number of connections to open if the server keeps dropping them. The download fails sooner if a connection
 * ends without delivering any data.
 */
const maxConnections = 20;

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
    await completePartialFile({ url, partialPath, archive, failed, onProgress, signal });
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

interface Download {
  url: string;
  partialPath: string;
  archive: CifarArchive;
  failed: (problem: string, cause?: unknown) => LockstepError;
  onProgress: DownloadOptions['onProgress'];
  signal: AbortSignal | undefined;
}

/** Downloads the rest of the partial file. Reconnects, up to the limit, as long as each connection delivers data. */
async function completePartialFile(download: Download): Promise<void> {
  const { url, partialPath, archive, failed, signal } = download;
  let received = (await sizeOf(partialPath)) ?? 0;
  if (received > archive.bytes) {
    await rm(partialPath, { force: true });
    received = 0;
  }
  for (let connection = 1; received < archive.bytes; connection++) {
    let problem: unknown = new Error('the connection ended early');
    try {
      await fetchRest(download, received);
    } catch (error) {
      if (error instanceof LockstepError) throw error;
      problem = error;
    }
    const before = received;
    received = (await sizeOf(partialPath)) ?? 0;
    if (received === archive.bytes) return;
    if (signal?.aborted === true) {
      throw new LockstepError(
        'interrupted',
        `the download of ${url} was interrupted: ${received} of ${archive.bytes} bytes are kept in ${partialPath}; ` +
          'run the command again to resume',
      );
    }
    if (received <= before || connection === maxConnections) {
      const stage = received === 0 ? 'cannot be downloaded' : `stopped after ${received} of ${archive.bytes} bytes`;
      throw failed(`${url} ${stage}: ${reasonOf(problem)}`, problem);
    }
  }
}

/**
 * Requests the missing bytes and appends those that arrive, even if the connection fails partway. Starts over from the
 * first byte if the server rejects or ignores the requested range.
 */
async function fetchRest(download: Download, received: number): Promise<void> {
  const { url, partialPath, archive, failed, signal } = download;
  const response = await fetch(url, {
    // Without a content encoding, the bytes received are those of the archive itself and can be counted.
    headers: { 'accept-encoding': 'identity', ...(received > 0 ? { range: `bytes=${received}-` } : {}) },
    ...(signal === undefined ? {} : { signal }),
  });
  try {
    if (received > 0 && response.status === 416) {
      await rm(partialPath, { force: true });
      return await fetchRest(download, 0);
    }
    if (response.status !== 200 && response.status !== 206) {
      throw failed(`${url} responded with ${response.status} ${response.statusText}`.trimEnd());
    }
    // A server without support for ranges responds with 200 and sends the whole file.
    const start = response.status === 206 ? received : 0;
    const announced = announcedSize(response, start);
    if (announced === 'another range') {
      throw failed(`${url} sent a range that was not requested: ${response.headers.get('content-range')}`);
    }
    if (announced !== undefined && announced !== archive.bytes) {
      throw failed(`${url} has ${announced} bytes, expected ${archive.bytes}: it is a different file`);
    }
    await appendBody(download, response, start);
  } finally {
    // An unread response would keep its connection open and the process alive.
    if (!response.bodyUsed) await response.body?.cancel();
  }
}

/** Writes each chunk before awaiting the next, so that no received bytes are lost if the connection fails. */
async function appendBody(download: Download, response: Response, start: number): Promise<void> {
  const { url, partialPath, archive, failed, onProgress } = download;
  const file = await open(partialPath, start > 0 ? 'a' : 'w');
  try {
    let total = start;
    onProgress?.(total, archive.bytes);
    for await (const chunk of response.body ?? []) {
      total += chunk.length;
      if (total > archive.bytes) throw failed(`${url} sent more than the archive's ${archive.bytes} bytes`);
      await file.appendFile(chunk);
      onProgress?.(total, archive.bytes);
    }
  } finally {
    await file.close();
  }
}

/**
 * Returns the size of the whole file according to the response headers, or undefined if they do not state it.
 * @param start offset at which the response must begin
 */
function announcedSize(response: Response, start: number): number | 'another range' | undefined {
  if (response.status === 206) {
    const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get('content-range') ?? '');
    if (range === null || Number(range[1]) !== start) return 'another range';
    return range[2] === '*' ? undefined : Number(range[2]);
  }
  const length = response.headers.get('content-length');
  return length === null ? undefined : Number(length);
}

/** Unpacks the seven files into a temporary folder, checks them, and moves them into place. */
async function unpack(archivePath: string, directory: string, archive: CifarArchive): Promise<void> {
  const wanted = new Set(cifar10Files);
  await withTemporaryFolder(directory, async (temporary) => {
    await tar.extract({
      file: archivePath,
      cwd: temporary,
      strict: true,
      strip: 1,
      filter: (entry) => wanted.has(path.posix.basename(entry)),
    });
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

async function sizeOf(file: string): Promise<number | undefined> {
  try {
    return (await stat(file)).size;
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function md5Of(file: string): Promise<string> {
  const hash = createHash('md5');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

/**
 * Returns the reason why a request failed. The error thrown by fetch says only 'fetch failed'; its cause has the
 * reason. If several addresses failed, the cause's message is empty, and its code is used instead.
 */
function reasonOf(thrown: unknown): string {
  const cause = thrown instanceof Error ? thrown.cause : undefined;
  if (cause === undefined) return messageOf(thrown);
  return `${messageOf(thrown)} (${messageOf(cause) || systemCodeOf(cause)})`;
}

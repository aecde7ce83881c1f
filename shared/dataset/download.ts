// Fetching the official CIFAR-10 archive: resumes where an earlier try ended, checks the MD5, unpacks only what is needed.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import * as tar from 'tar';
import { LockstepError, messageOf, systemCodeOf } from '../errors.js';
import { cifar10Files, imageCountOf, officialClassNames, type Cifar10 } from './cifar10-layout.js';
import { holdsCifar10, installCifar10Files, loadCifar10, withTemporaryFolder } from './cifar10.js';

/** What identifies an archive and what is in it. */
export interface CifarArchive {
  url: string;
  bytes: number;
  /** In hexadecimal. */
  md5: string;
  trainingImages: number;
  testImages: number;
}

/** CIFAR-10, binary version, as its authors publish it. */
export const officialArchive: CifarArchive = {
  url: 'https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz',
  bytes: 170_052_171,
  md5: 'c32a1d4ab5d03f1284b67883e8d87530',
  trainingImages: 50_000,
  testImages: 10_000,
};

/** The archive's name inside the data folder. While it is incomplete, `.partial` is behind it. */
export const archiveFile = 'cifar-10-binary.tar.gz';

/** A server that drops the connection again and again is given this many chances, each of which must bring something. */
const maxConnections = 20;

export interface DownloadOptions {
  /** Another place to fetch the same archive from (default: the archive's own URL). */
  url?: string;
  /** Which archive (default: the official one). Size and MD5 are demanded. */
  archive?: CifarArchive;
  /** Replace a set of other images in the folder (default: false). A broken or incomplete set is always replaced. */
  overwrite?: boolean;
  /** Called as bytes arrive; `received` counts those of earlier tries too. */
  onProgress?: (received: number, total: number) => void;
  /** Ends the download; what has arrived stays for the next try. */
  signal?: AbortSignal;
}

/** How the folder came to hold the set. */
export type DownloadOutcome = 'downloaded' | 'unpacked' | 'already there';

/**
 * Makes `directory` hold the official files. `unpacked` means that the archive lay there and no network was used.
 * Throws `download-failed`, `bad-data` where the folder holds another set, `interrupted` after an abort.
 */
export async function downloadCifar10(directory: string, options: DownloadOptions = {}): Promise<DownloadOutcome> {
  const archive = options.archive ?? officialArchive;
  const url = options.url ?? archive.url;
  const archivePath = path.join(directory, archiveFile);
  const partialPath = `${archivePath}.partial`;
  const failed = (problem: string, cause?: unknown) =>
    new LockstepError(
      'download-failed',
      `${problem}. Run the command again; or fetch ${archive.url} on another machine, ` +
        `put it at ${archivePath}, and run the command again: it then needs no network`,
      { cause },
    );

  try {
    if ((await existingSet(directory, archive, options.overwrite === true)) === 'complete') return 'already there';
    await mkdir(directory, { recursive: true });
    const given = await sizeOf(archivePath);
    if (given !== undefined) {
      await checkGivenArchive(archivePath, given, archive);
      await unpack(archivePath, directory, archive);
      await rm(partialPath, { force: true });
      return 'unpacked';
    }
    await fetchWhole({ url, partialPath, archive, failed, onProgress: options.onProgress, signal: options.signal });
    const md5 = await md5Of(partialPath);
    if (md5 !== archive.md5) {
      await rm(partialPath, { force: true });
      throw failed(
        `${url} has the MD5 ${md5} instead of ${archive.md5}: it is damaged or another file, and was removed`,
      );
    }
    await rename(partialPath, archivePath);
    await unpack(archivePath, directory, archive);
    await rm(archivePath, { force: true });
    return 'downloaded';
  } catch (error) {
    if (error instanceof LockstepError) throw error;
    throw failed(`${url} could not be downloaded into ${directory}: ${messageOf(error)}`, error);
  }
}

/** Whether the folder holds this archive's set. Throws `bad-data` where it holds another one that is sound. */
async function existingSet(
  directory: string,
  archive: CifarArchive,
  overwrite: boolean,
): Promise<'complete' | 'none or broken'> {
  if (!(await holdsCifar10(directory))) return 'none or broken';
  let dataset: Cifar10;
  try {
    dataset = await loadCifar10(directory);
  } catch (error) {
    if (error instanceof LockstepError) return 'none or broken';
    throw error;
  }
  if (isSetOf(archive, dataset)) return 'complete';
  if (overwrite) return 'none or broken';
  throw new LockstepError(
    'bad-data',
    `${directory} already holds another set: ${imageCountOf(dataset.training)} training and ` +
      `${imageCountOf(dataset.test)} test images of ${dataset.classNames.join(', ')}. ` +
      'Name another folder, or say --force to replace it',
  );
}

function isSetOf(archive: CifarArchive, dataset: Cifar10): boolean {
  return (
    imageCountOf(dataset.training) === archive.trainingImages &&
    imageCountOf(dataset.test) === archive.testImages &&
    dataset.classNames.join() === officialClassNames.join()
  );
}

/** An archive that a person put there is never removed. */
async function checkGivenArchive(archivePath: string, bytes: number, archive: CifarArchive): Promise<void> {
  const md5 = bytes === archive.bytes ? await md5Of(archivePath) : undefined;
  if (md5 === archive.md5) return;
  const difference =
    md5 === undefined
      ? `has ${bytes} bytes, the archive has ${archive.bytes}`
      : `has the MD5 ${md5}, the archive has ${archive.md5}`;
  throw new LockstepError(
    'download-failed',
    `${archivePath} is incomplete or not the archive of ${archive.url}: it ${difference}. ` +
      'Copy it there again, or remove it to have it downloaded',
  );
}

interface Fetching {
  url: string;
  partialPath: string;
  archive: CifarArchive;
  failed: (problem: string, cause?: unknown) => LockstepError;
  onProgress: DownloadOptions['onProgress'];
  signal: AbortSignal | undefined;
}

/** Fetches until the partial file has the archive's size, connecting again as long as that brings something. */
async function fetchWhole(fetching: Fetching): Promise<void> {
  const { url, partialPath, archive, failed, signal } = fetching;
  let received = (await sizeOf(partialPath)) ?? 0;
  if (received > archive.bytes) {
    await rm(partialPath, { force: true });
    received = 0;
  }
  for (let connection = 1; received < archive.bytes; connection++) {
    let problem: unknown = new Error('the connection ended early');
    try {
      await fetchRest(fetching, received);
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
        `the download of ${url} was interrupted: ${received} of ${archive.bytes} bytes are kept in ${partialPath}, ` +
          'run the command again to go on',
      );
    }
    if (received <= before || connection === maxConnections) {
      const stage = received === 0 ? 'could not be fetched' : `broke off after ${received} of ${archive.bytes} bytes`;
      throw failed(`${url} ${stage}: ${reasonOf(problem)}`, problem);
    }
  }
}

/** One request for what is missing. Returns or throws as the connection does; what arrived is in the partial file. */
async function fetchRest(fetching: Fetching, received: number): Promise<void> {
  const { url, partialPath, archive, failed, signal } = fetching;
  const response = await fetch(url, {
    // A server must not wrap the archive in a compression of its own, or the bytes could not be counted.
    headers: { 'accept-encoding': 'identity', ...(received > 0 ? { range: `bytes=${received}-` } : {}) },
    ...(signal === undefined ? {} : { signal }),
  });
  try {
    if (received > 0 && response.status === 416) {
      await rm(partialPath, { force: true });
      return await fetchRest(fetching, 0);
    }
    if (response.status !== 200 && response.status !== 206) {
      throw failed(`${url} answered ${response.status} ${response.statusText}`.trimEnd());
    }
    // A server that does not know ranges answers 200 and sends everything.
    const start = response.status === 206 ? received : 0;
    const promised = promisedSize(response, start);
    if (promised === 'another range') {
      throw failed(`${url} sent another part than was asked for: ${response.headers.get('content-range')}`);
    }
    if (promised !== undefined && promised !== archive.bytes) {
      throw failed(`${url} is ${promised} bytes now instead of ${archive.bytes}: it is not the archive it was`);
    }
    await appendBody(fetching, response, start);
  } finally {
    // An answer left unread would keep its connection, and so the process, alive.
    if (!response.bodyUsed) await response.body?.cancel();
  }
}

/** Each shard is in the file before the next one is awaited, so that a connection that dies costs nothing. */
async function appendBody(fetching: Fetching, response: Response, start: number): Promise<void> {
  const { url, partialPath, archive, failed, onProgress } = fetching;
  const file = await open(partialPath, start > 0 ? 'a' : 'w');
  try {
    let total = start;
    onProgress?.(total, archive.bytes);
    for await (const shard of response.body ?? []) {
      total += shard.length;
      if (total > archive.bytes) throw failed(`${url} sent more than the ${archive.bytes} bytes of the archive`);
      await file.appendFile(shard);
      onProgress?.(total, archive.bytes);
    }
  } finally {
    await file.close();
  }
}

/** The whole file's size by the headers of an answer that begins at `start`; undefined where they do not say. */
function promisedSize(response: Response, start: number): number | 'another range' | undefined {
  if (response.status === 206) {
    const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get('content-range') ?? '');
    if (range === null || Number(range[1]) !== start) return 'another range';
    return range[2] === '*' ? undefined : Number(range[2]);
  }
  const length = response.headers.get('content-length');
  return length === null ? undefined : Number(length);
}

/** Unpacks the seven files through a temporary folder and moves them into place once they have proved sound. */
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
          `of ${dataset.classNames.join(', ')}: that is not CIFAR-10`,
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

/** fetch says only 'fetch failed'; why is in its cause, whose message may be empty where several addresses were tried. */
function reasonOf(thrown: unknown): string {
  const cause = thrown instanceof Error ? thrown.cause : undefined;
  if (cause === undefined) return messageOf(thrown);
  return `${messageOf(thrown)} (${messageOf(cause) || systemCodeOf(cause)})`;
}

// Downloads a file, and resumes interrupted downloads.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import * as tar from 'tar';
import { LockstepError, messageOf, systemCodeOf } from '../errors.js';

/**
 * Maximum number of connections to open if the server keeps dropping them. The download fails sooner if a connection
 * ends without delivering any data.
 */
const maxConnections = 20;

export interface Download {
  url: string;
  /** Size of the whole file. */
  bytes: number;
  /** File to which the bytes are appended. */
  partialPath: string;
  /** Returns the error to throw if the file cannot be downloaded. */
  failed: (problem: string, cause?: unknown) => LockstepError;
  /** Called as bytes arrive. `received` includes bytes from an earlier, interrupted download. */
  onProgress: ((received: number, total: number) => void) | undefined;
  signal: AbortSignal | undefined;
}

/**
 * Downloads the rest of the partial file. Reconnects, up to the limit, as long as each connection delivers data. Throws
 * `interrupted` if the download is aborted. Does not check the contents of the file.
 */
export async function completePartialFile(download: Download): Promise<void> {
  const { url, partialPath, bytes, failed, signal } = download;
  let received = (await sizeOf(partialPath)) ?? 0;
  if (received > bytes) {
    await rm(partialPath, { force: true });
    received = 0;
  }
  for (let connection = 1; received < bytes; connection++) {
    let problem: unknown = new Error('the connection ended early');
    try {
      await fetchRest(download, received);
    } catch (error) {
      if (error instanceof LockstepError) throw error;
      problem = error;
    }
    const before = received;
    received = (await sizeOf(partialPath)) ?? 0;
    if (received === bytes) return;
    if (signal?.aborted === true) {
      throw new LockstepError(
        'interrupted',
        `the download of ${url} was interrupted: ${received} of ${bytes} bytes are kept in ${partialPath}; ` +
          'run the command again to resume',
      );
    }
    if (received <= before || connection === maxConnections) {
      const stage = received === 0 ? 'cannot be downloaded' : `stopped after ${received} of ${bytes} bytes`;
      throw failed(`${url} ${stage}: ${reasonOf(problem)}`, problem);
    }
  }
}

/**
 * Requests the missing bytes and appends those that arrive, even if the connection fails partway. Starts over from the
 * first byte if the server rejects or ignores the requested range.
 */
async function fetchRest(download: Download, received: number): Promise<void> {
  const { url, partialPath, bytes, failed, signal } = download;
  const response = await fetch(url, {
    // Without a content encoding, the bytes received are those of the file itself and can be counted.
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
    if (announced !== undefined && announced !== bytes) {
      throw failed(`${url} has ${announced} bytes, expected ${bytes}: it is a different file`);
    }
    await appendBody(download, response, start);
  } finally {
    // An unread response would keep its connection open and the process alive.
    if (!response.bodyUsed) await response.body?.cancel();
  }
}

/** Writes each chunk before awaiting the next, so that no received bytes are lost if the connection fails. */
async function appendBody(download: Download, response: Response, start: number): Promise<void> {
  const { url, partialPath, bytes, failed, onProgress } = download;
  const file = await open(partialPath, start > 0 ? 'a' : 'w');
  try {
    let total = start;
    onProgress?.(total, bytes);
    for await (const chunk of response.body ?? []) {
      total += chunk.length;
      if (total > bytes) throw failed(`${url} sent more than the file's ${bytes} bytes`);
      await file.appendFile(chunk);
      onProgress?.(total, bytes);
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

/** Returns the size of a file, or undefined if it does not exist. */
export async function sizeOf(file: string): Promise<number | undefined> {
  try {
    return (await stat(file)).size;
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

export async function md5Of(file: string): Promise<string> {
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

/** Extracts the files with these names from an archive, without the archive's top folder. */
export async function extractFiles(archive: string, folder: string, names: readonly string[]): Promise<void> {
  const wanted = new Set(names);
  const filter = (entry: string) => wanted.has(path.posix.basename(entry));
  await tar.extract({ file: archive, cwd: folder, strict: true, strip: 1, filter });
}

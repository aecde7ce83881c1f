// Reads whole files of any size, and reports files that are missing or cannot be read as `bad-data`.
import { constants } from 'node:buffer';
import { open, readdir, stat } from 'node:fs/promises';
import type { Dirent } from 'node:fs';
import { LockstepError, messageOf, systemCodeOf } from '../shared/errors.js';

/** Maximum number of bytes per read. Node.js cannot read 2 GiB or more at once. */
const maxBytesPerRead = 2 ** 30;

export function badData(message: string, cause?: unknown): LockstepError {
  return new LockstepError('bad-data', message, { cause });
}

/** Returns the size of a file in bytes, or undefined if no such file exists. */
export async function fileSize(file: string): Promise<number | undefined> {
  const found = await stat(file).catch(() => undefined);
  return found?.isFile() === true ? found.size : undefined;
}

export async function isFolder(location: string): Promise<boolean> {
  return (await stat(location).catch(() => undefined))?.isDirectory() === true;
}

/** Returns the entries of a folder in order of their names, which is the same on every machine. */
export async function entriesOf(folder: string): Promise<Dirent[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    throw badData(`cannot read the folder ${folder}: ${messageOf(error)}`, error);
  });
  return entries.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** Reads a file. Throws `bad-data`, with `remedy` in the message, if it is missing or cannot be read. */
export async function readFileBytes(file: string, remedy: string): Promise<Uint8Array<ArrayBuffer>> {
  const handle = await open(file).catch((error: unknown) => {
    throw unreadable(file, remedy, error);
  });
  try {
    const { size } = await handle.stat();
    if (size > constants.MAX_LENGTH) {
      throw badData(`${file} has ${size} bytes: at most ${constants.MAX_LENGTH} fit into memory at once. ${remedy}`);
    }
    const bytes = new Uint8Array(size);
    for (let filled = 0; filled < size;) {
      const { bytesRead } = await handle.read(bytes, filled, Math.min(size - filled, maxBytesPerRead), filled);
      if (bytesRead === 0) throw badData(`${file} shrank from ${size} to ${filled} bytes while it was being read`);
      filled += bytesRead;
    }
    return bytes;
  } catch (error) {
    throw error instanceof LockstepError ? error : unreadable(file, remedy, error);
  } finally {
    await handle.close();
  }
}

/** Returns the lines of a text file that are not empty, or undefined if the file does not exist. */
export async function readLines(file: string): Promise<string[] | undefined> {
  if ((await fileSize(file)) === undefined) return undefined;
  const text = Buffer.from(await readFileBytes(file, 'Check the permissions of the file.')).toString('utf8');
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}

function unreadable(file: string, remedy: string, error: unknown): LockstepError {
  const reason = systemCodeOf(error) === 'ENOENT' ? 'is missing' : `cannot be read: ${messageOf(error)}`;
  return badData(`${file} ${reason}. ${remedy}`, error);
}

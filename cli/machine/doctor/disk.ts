// Checks the permissions and free space of the folders that Lockstep writes to, by writing to them.
import { open, rm, statfs } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { messageOf, systemCodeOf } from '../../../shared/errors.js';
import { formatGibibytes, type Check, type Mark } from './check.js';

export interface FolderCheck {
  about: string;
  /** Folder to check. It need not exist yet. */
  folder: string;
  /** Option or environment variable that chooses another folder. */
  chosenBy: string;
  markIfReadOnly: Exclude<Mark, 'ok'>;
  minFreeBytes: number;
}

/** Size of the test file, large enough that a full disk rejects it. */
const testBytes = 64 * 1024;

export async function checkFolder(check: FolderCheck): Promise<Check> {
  const { about, chosenBy, markIfReadOnly, minFreeBytes } = check;
  const folder = resolve(check.folder);
  const existing = nearestExisting(folder);
  const failure = await failureToWrite(existing);
  if (failure !== null) {
    const remedy = `choose another folder with ${chosenBy}`;
    return { about, mark: markIfReadOnly, says: `${folder}: ${failure}`, remedy };
  }
  const { bavail, bsize } = await statfs(existing);
  const freeBytes = bavail * bsize;
  const says = `${folder}: ${formatGibibytes(freeBytes)} free`;
  if (freeBytes >= minFreeBytes) return { about, mark: 'ok', says };
  const remedy = `free up ${formatGibibytes(minFreeBytes)}, or choose another folder with ${chosenBy}`;
  return { about, mark: 'warning', says, remedy };
}

function nearestExisting(folder: string): string {
  let existing = folder;
  while (!existsSync(existing) && dirname(existing) !== existing) existing = dirname(existing);
  return existing;
}

/** Returns why nothing can be written to the folder, or null if it is writable. Leaves no file behind. */
async function failureToWrite(folder: string): Promise<string | null> {
  const testFile = join(folder, `.lockstep-doctor-${process.pid}`);
  try {
    const file = await open(testFile, 'wx');
    try {
      await file.writeFile(new Uint8Array(testBytes));
    } finally {
      await file.close();
      await rm(testFile, { force: true });
    }
    return null;
  } catch (error) {
    return reasons[systemCodeOf(error) ?? ''] ?? messageOf(error);
  }
}

const reasons: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: "this user's disk quota is exceeded",
  EROFS: 'the file system is read-only',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  ENOTDIR: 'part of this path is a file, not a folder',
  ENOENT: 'no file can be created there',
};

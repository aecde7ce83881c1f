// The folders that Lockstep writes to: whether it can, and how much room there is. Found out by writing.
import { open, rm, statfs } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { messageOf, systemCodeOf } from '../../../shared/errors.js';
import { gibibytes, type Check, type Mark } from './check.js';

export interface FolderAsked {
  about: string;
  /** It need not be there yet. */
  folder: string;
  /** What chooses another one. */
  chosenBy: string;
  /** What a folder that cannot be written means. */
  markWithout: Exclude<Mark, 'ok'>;
  /** Below that it may fill up. */
  wantedBytes: number;
}

/** As much as a page or two: a disk that is full refuses it, and one that is not is not touched for long. */
const trialBytes = 64 * 1024;

export async function checkFolder({ about, folder, ...asked }: FolderAsked): Promise<Check> {
  const { chosenBy, markWithout, wantedBytes } = asked;
  const whole = resolve(folder);
  const existing = nearestExisting(whole);
  const failure = await failureToWrite(existing);
  if (failure !== null) {
    return { about, mark: markWithout, says: `${whole}: ${failure}`, remedy: `${chosenBy} chooses another folder` };
  }
  const { bavail, bsize } = await statfs(existing);
  const freeBytes = bavail * bsize;
  const says = `${whole}: ${gibibytes(freeBytes)} free`;
  if (freeBytes >= wantedBytes) return { about, mark: 'ok', says };
  const remedy = `make room for ${gibibytes(wantedBytes)}, or choose another folder: ${chosenBy}`;
  return { about, mark: 'warning', says, remedy };
}

function nearestExisting(folder: string): string {
  let existing = folder;
  while (!existsSync(existing) && dirname(existing) !== existing) existing = dirname(existing);
  return existing;
}

/** Why nothing can be written there, or null. Leaves nothing behind. */
async function failureToWrite(folder: string): Promise<string | null> {
  const trial = join(folder, `.lockstep-doctor-${process.pid}`);
  try {
    const file = await open(trial, 'wx');
    try {
      await file.writeFile(new Uint8Array(trialBytes));
    } finally {
      await file.close();
      await rm(trial, { force: true });
    }
    return null;
  } catch (error) {
    return reasons[systemCodeOf(error) ?? ''] ?? messageOf(error);
  }
}

const reasons: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: "this user's quota of the disk is used up",
  EROFS: 'the file system is read-only',
  EACCES: 'this user may not write there',
  EPERM: 'this user may not write there',
  ENOTDIR: 'a part of this path is a file, not a folder',
  ENOENT: 'nothing can be created there',
};

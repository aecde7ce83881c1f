// Keeps two processes from importing into the same folder at the same time.
import { readFile, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { z } from 'zod';
import { LockstepError, ifMissing, systemCodeOf } from '../../shared/errors.js';

export const lockFile = '.lock';
const owner = z.object({ pid: z.int().positive(), host: z.string() });
/** Lock files that this process holds. */
const held = new Set<string>();
/** A lock that is still empty after this time belongs to a process that ended while it was writing it. */
const writeTimeoutMs = 500;

/** Calls `use` while this process holds the folder's lock. Throws `bad-data` if another running process holds it. */
export async function withFolderLock<Result>(folder: string, use: () => Promise<Result>): Promise<Result> {
  const file = path.join(folder, lockFile);
  const content = JSON.stringify({ pid: process.pid, host: hostname() });
  for (;;) {
    try {
      await writeFile(file, content, { flag: 'wx' });
      held.add(file);
      break;
    } catch (error) {
      if (systemCodeOf(error) !== 'EEXIST') throw error;
      await assertStale(file, folder);
      await rm(file, { force: true });
    }
  }
  try {
    return await use();
  } finally {
    held.delete(file);
    await rm(file, { force: true });
  }
}

/** Throws `bad-data` unless the process that created a lock has ended without removing it. */
async function assertStale(file: string, folder: string): Promise<void> {
  const holder = (await readOwner(file)) ?? (await setTimeout(writeTimeoutMs).then(() => readOwner(file)));
  if (holder === undefined || (holder.host === hostname() && !isRunning(holder.pid, file))) return;
  throw new LockstepError(
    'bad-data',
    `process ${holder.pid} on ${holder.host} is importing into ${folder}: wait until it has finished, or delete ` +
      `${file} if it no longer runs`,
  );
}

async function readOwner(file: string): Promise<z.infer<typeof owner> | undefined> {
  const text = await readFile(file, 'utf8').catch(ifMissing(''));
  try {
    return owner.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function isRunning(pid: number, file: string): boolean {
  // The ID of this process may have belonged to an earlier one, in a container for example.
  if (pid === process.pid) return held.has(file);
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemCodeOf(error) === 'EPERM';
  }
}

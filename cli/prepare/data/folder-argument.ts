import { stat } from 'node:fs/promises';
import { LockstepError } from '../../../shared/errors.js';

export async function assertNotAFile(directory: string): Promise<void> {
  const found = await stat(directory).catch(() => undefined);
  if (found === undefined || found.isDirectory()) return;
  throw new LockstepError('bad-data', `DIR is ${directory}, which is a file: specify a folder for the images`);
}

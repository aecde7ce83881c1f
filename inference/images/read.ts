// Picture files from the disk.
import { readFile, stat } from 'node:fs/promises';
import { LockstepError, messageOf, systemCodeOf } from '../../shared/errors.js';
import { decodePicture, type Picture } from './decode.js';

/** No PNG or JPEG of as many pixels as are read is larger. */
const mostBytes = 512_000_000;

/** Throws `bad-data` for a file that cannot be read, is too large, or is none that decodePicture takes. */
export async function readPicture(file: string): Promise<Picture> {
  let bytes: Uint8Array;
  try {
    const { size } = await stat(file);
    if (size > mostBytes) {
      const megabytes = (size / 1e6).toFixed(0);
      throw new LockstepError(
        'bad-data',
        `${file} has ${megabytes} MB: pictures of at most ${mostBytes / 1e6} MB are read`,
      );
    }
    bytes = await readFile(file);
  } catch (cause) {
    if (cause instanceof LockstepError) throw cause;
    throw new LockstepError('bad-data', `${file} ${whyUnreadable(cause)}: name a PNG or JPEG file`, { cause });
  }
  return decodePicture(bytes, file);
}

function whyUnreadable(error: unknown): string {
  const reasons: Record<string, string> = {
    ENOENT: 'does not exist',
    ENOTDIR: 'does not exist',
    EISDIR: 'is a folder',
    EACCES: 'may not be read by you',
  };
  return reasons[systemCodeOf(error) ?? ''] ?? `cannot be read (${messageOf(error)})`;
}

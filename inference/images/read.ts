// Picture files from the disk.
import { readFile, stat } from 'node:fs/promises';
import { LockstepError, messageOf, systemCodeOf } from '../../shared/errors.js';
import { decodeImage, type Picture } from './decode.js';

/** No PNG or JPEG of as many pixels as are read is larger. */
const maxBytes = 512_000_000;

/** Throws `bad-data` for a file that cannot be read, is too large, or is none that decodeImage takes. */
export async function readImage(file: string): Promise<Picture> {
  let bytes: Uint8Array;
  try {
    const { size } = await stat(file);
    if (size > maxBytes) {
      const megabytes = (size / 1e6).toFixed(0);
      throw new LockstepError(
        'bad-data',
        `${file} has ${megabytes} MB: pictures of at most ${maxBytes / 1e6} MB are read`,
      );
    }
    bytes = await readFile(file);
  } catch (cause) {
    if (cause instanceof LockstepError) throw cause;
    throw new LockstepError('bad-data', `${file} ${whyUnreadable(cause)}: name a PNG or JPEG file`, { cause });
  }
  return decodeImage(bytes, file);
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

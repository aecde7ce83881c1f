// Reads image files from disk.
import { readFile, stat } from 'node:fs/promises';
import { LockstepError, messageOf, systemCodeOf } from '../../shared/errors.js';
import { decodeImage, type Image } from './decode.js';

/**
 * Maximum file size: 64 million pixels, the limit of decodeImage, with four channels of 16 bits. Compressed files are
 * smaller.
 */
const maxBytes = 512_000_000;

/** Throws `bad-data` for a file that cannot be read, is too large, or that decodeImage does not accept. */
export async function readImage(file: string): Promise<Image> {
  let bytes: Uint8Array;
  try {
    const { size } = await stat(file);
    if (size > maxBytes) {
      const megabytes = (size / 1e6).toFixed(0);
      throw new LockstepError('bad-data', `${file} is ${megabytes} MB: it must be at most ${maxBytes / 1e6} MB`);
    }
    bytes = await readFile(file);
  } catch (cause) {
    if (cause instanceof LockstepError) throw cause;
    throw new LockstepError('bad-data', `${file} ${explainReadFailure(cause)}: specify a readable PNG or JPEG file`, {
      cause,
    });
  }
  return decodeImage(bytes, file);
}

function explainReadFailure(error: unknown): string {
  const reasons: Record<string, string> = {
    ENOENT: 'does not exist',
    ENOTDIR: 'does not exist',
    EISDIR: 'is a folder',
    EACCES: 'cannot be read (permission denied)',
  };
  return reasons[systemCodeOf(error) ?? ''] ?? `cannot be read (${messageOf(error)})`;
}

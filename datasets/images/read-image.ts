// Reads image files for a trained model. They are decoded and resized by the code that imports image folders, so the
// model sees what it was trained on.
import { stat } from 'node:fs/promises';
import type { ImageFit } from '../../shared/dataset/description.js';
import { messageOf, systemCodeOf } from '../../shared/errors.js';
import { badData } from '../file-bytes.js';
import { DecodingProcess } from './decoding-process.js';
import type { DecodedImage, ImageSize } from './import-messages.js';

const remedy = 'specify a JPEG, PNG, WebP, GIF, TIFF or AVIF file';

/**
 * Decodes image files, each to this size. Throws `bad-data` for a file that cannot be read or decoded, and `setup-failed`
 * if this installation has no decoder.
 */
export async function readImages(files: readonly string[], size: ImageSize, fit: ImageFit): Promise<DecodedImage[]> {
  const decoder = new DecodingProcess();
  try {
    const images: DecodedImage[] = [];
    for (const file of files) {
      await assertReadable(file);
      const decoded = await decoder.read(file, size, fit);
      if ('reason' in decoded) throw badData(`${file} cannot be decoded (${decoded.reason}): ${remedy}`);
      images.push(decoded.image);
    }
    return images;
  } finally {
    decoder.kill();
  }
}

/** Throws `bad-data` if there is no such file. */
async function assertReadable(file: string): Promise<void> {
  try {
    if (!(await stat(file)).isDirectory()) return;
  } catch (error) {
    const isMissing = ['ENOENT', 'ENOTDIR'].includes(systemCodeOf(error) ?? '');
    throw badData(`${file} ${isMissing ? 'does not exist' : `cannot be read (${messageOf(error)})`}: ${remedy}`, error);
  }
  throw badData(`${file} is a folder: ${remedy}`);
}

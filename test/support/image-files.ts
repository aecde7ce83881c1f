// Writes image files of a single color, or with random pixels.
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import sharp, { type Sharp } from 'sharp';

/** Returns an image of one color. */
export function plainImage(
  width: number,
  height: number,
  background: string | { r: number; g: number; b: number; alpha: number },
): Sharp {
  const channels = typeof background === 'string' ? 3 : 4;
  return sharp({ create: { width, height, channels, background } });
}

/** Returns an image whose columns have the given colors. */
export function columns(height: number, ...colors: (readonly [red: number, green: number, blue: number])[]): Sharp {
  const row = colors.flat();
  const pixels = Uint8Array.from(Array.from({ length: height }, () => row).flat());
  return sharp(pixels, { raw: { width: colors.length, height, channels: 3 } });
}

/** Returns an image of pseudorandom pixels that depend on the seed only. */
export function noiseImage(width: number, height: number, seed: number): Sharp {
  let state = seed + 1;
  const pixels = Uint8Array.from({ length: 3 * width * height }, () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return state >>> 24;
  });
  return sharp(pixels, { raw: { width, height, channels: 3 } });
}

/** Writes files, whose types follow from their names. Creates their folders; a name that ends with / is a folder only. */
export async function writeImages(
  folder: string,
  files: Readonly<Record<string, Sharp | Uint8Array | string | null>>,
): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    const file = path.join(folder, name);
    await mkdir(name.endsWith('/') ? file : path.dirname(file), { recursive: true });
    if (content === null) continue;
    if (typeof content === 'string' || content instanceof Uint8Array) await writeFile(file, content);
    else await content.toFile(file);
  }
}

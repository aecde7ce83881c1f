// Writes datasets in the format of MNIST.
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';

/** Returns an IDX file of unsigned bytes. */
export function idxBytes(sizes: readonly number[], values: readonly number[]): Uint8Array {
  const header = Buffer.alloc(4 + 4 * sizes.length);
  header.writeUInt32BE(0x0800 + sizes.length);
  for (const [index, size] of sizes.entries()) header.writeUInt32BE(size, 4 + 4 * index);
  return Buffer.concat([header, Buffer.from(values)]);
}

export interface IdxOptions {
  gzip?: boolean;
  side?: number;
  trainingLabels?: readonly number[];
  testLabels?: readonly number[];
}

/** Writes the four files. All pixels of an image have the value of its position. */
export async function writeIdx(folder: string, options: IdxOptions = {}): Promise<void> {
  const { gzip = false, side = 28, trainingLabels = [5, 0, 4], testLabels = [7, 2] } = options;
  await mkdir(folder, { recursive: true });
  for (const [prefix, labels] of [
    ['train', trainingLabels],
    ['t10k', testLabels],
  ] as const) {
    const pixels = labels.flatMap((_, index) => Array<number>(side * side).fill(index));
    const files = {
      [`${prefix}-images-idx3-ubyte`]: idxBytes([labels.length, side, side], pixels),
      [`${prefix}-labels-idx1-ubyte`]: idxBytes([labels.length], labels),
    };
    for (const [name, bytes] of Object.entries(files)) {
      await writeFile(path.join(folder, gzip ? `${name}.gz` : name), gzip ? gzipSync(bytes) : bytes);
    }
  }
}

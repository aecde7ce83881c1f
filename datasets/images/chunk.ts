// A chunk of an import: the images of consecutive files of a split, decoded by one process and kept in two files until
// the import is complete. An interrupted import resumes after its complete chunks.
import { createHash } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { ifMissing } from '../../shared/errors.js';
import { sha256Of } from '../../shared/sha256.js';
import type { ImageFit } from '../../shared/dataset/description.js';
import { decodingRules } from './import-rules.js';
import type { SourceFile } from './scan-folder.js';

/** Number of files per chunk: at most 19 MB of records, for images of 224×224 pixels. */
export const filesPerChunk = 128;

/** Settings of an import on which the bytes of its records depend. */
export interface RecordFormat {
  imageSize: number;
  fit: ImageFit;
  labelBytes: 1 | 2;
}

export interface ChunkTask {
  /** The image folder. */
  folder: string;
  files: SourceFile[];
  format: RecordFormat;
  /** Path of the chunk's files without their extensions. */
  target: string;
  /** Files that crashed the decoder, by index, with the reason for which they are skipped. */
  crashed: Record<number, string>;
}

const chunkSchema = z.object({
  /** Digest of everything that the records depend on. */
  fingerprint: z.string(),
  /** SHA-256 of the records. */
  sha256: z.string(),
  /** For each file in order, the digest of its pixels, or the reason why it was skipped. */
  results: z.array(z.union([z.object({ pixels: z.string() }), z.object({ skipped: z.string() })])),
  /** Number of images that did not have the size of the dataset. */
  resized: z.int().nonnegative(),
});
/** Summary of a chunk, in a file next to its records. */
export type Chunk = z.infer<typeof chunkSchema>;
export type FileResult = Chunk['results'][number];

/** @param decoder versions of the decoder's libraries */
export function fingerprintOf({ files, format }: Pick<ChunkTask, 'files' | 'format'>, decoder: string): string {
  const list = files.map(({ path, label, size, mtimeMs }) => [path, label, size, mtimeMs]);
  return createHash('sha256')
    .update(JSON.stringify([decodingRules, decoder, format, list]))
    .digest('hex');
}

/** Digest by which equal images are found, 128 bits long. */
export function pixelDigest(pixels: Uint8Array): string {
  return sha256Of(pixels).slice(0, 32);
}

/** Writes both files, the summary last. */
export async function writeChunk(target: string, records: Uint8Array, chunk: Chunk): Promise<void> {
  for (const [extension, content] of [
    ['bin', records],
    ['json', JSON.stringify(chunk)],
  ] as const) {
    const file = `${target}.${extension}`;
    await writeFile(`${file}.tmp`, content);
    await rename(`${file}.tmp`, file);
  }
}

/** Returns the summary of a complete chunk with this fingerprint; undefined if there is none. */
export async function findChunk(target: string, fingerprint: string): Promise<Chunk | undefined> {
  const chunk = await readSummary(target);
  if (chunk?.fingerprint !== fingerprint) return undefined;
  const records = await readFile(`${target}.bin`).catch(ifMissing(undefined));
  return records !== undefined && sha256Of(records) === chunk.sha256 ? chunk : undefined;
}

async function readSummary(target: string): Promise<Chunk | undefined> {
  const text = await readFile(`${target}.json`, 'utf8').catch(ifMissing(undefined));
  if (text === undefined) return undefined;
  try {
    return chunkSchema.parse(JSON.parse(text));
  } catch {
    // The chunk is decoded again.
    return undefined;
  }
}

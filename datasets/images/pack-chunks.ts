// Joins the chunks of an import into one file per split, and finds what to warn about.
import { createHash } from 'node:crypto';
import { open, readFile } from 'node:fs/promises';
import path from 'node:path';
import { sha256Of } from '../../shared/sha256.js';
import { splitFile, splitNames, type ImportRecord, type SplitName, type SplitSummary } from '../packed/manifest.js';
import { badData } from '../file-bytes.js';
import type { Chunk } from './chunk.js';
import type { SourceFile } from './scan-folder.js';

/** Number of duplicates that the manifest names. */
const maxExamples = 20;

/** Complete chunk of an import. */
export interface CompleteChunk {
  split: SplitName;
  files: readonly SourceFile[];
  chunk: Chunk;
  /** Path of its files without their extensions. */
  target: string;
}

/** Writes the records of a split to `folder`. Returns null if no image of the split was decoded. */
export async function packSplit(
  folder: string,
  split: SplitName,
  all: readonly CompleteChunk[],
  classCount: number,
): Promise<SplitSummary | null> {
  const chunks = all.filter((complete) => complete.split === split);
  const perClass = Array.from({ length: classCount }, () => 0);
  for (const { path: _, label } of decodedFiles(chunks)) perClass[label] += 1;
  const records = perClass.reduce((total, images) => total + images, 0);
  if (records === 0) return null;
  const hash = createHash('sha256');
  const output = await open(path.join(folder, splitFile(split)), 'w');
  try {
    for (const { chunk, target } of chunks) {
      const bytes = await readFile(`${target}.bin`);
      if (sha256Of(bytes) !== chunk.sha256) {
        throw badData(`${target}.bin changed during the import: run the command again to resume`);
      }
      hash.update(bytes);
      await output.appendFile(bytes);
    }
    await output.sync();
  } finally {
    await output.close();
  }
  return { records, sha256: hash.digest('hex'), perClass };
}

/** Returns the files that were skipped, the classes without training images, and the images in more than one split. */
export function findProblems(
  chunks: readonly CompleteChunk[],
  classNames: readonly string[],
): Pick<ImportRecord, 'skipped' | 'emptyClasses' | 'duplicates'> {
  const skipped = chunks.flatMap(({ files, chunk }) =>
    chunk.results.flatMap((result, index) =>
      'skipped' in result ? [{ file: files[index].path, reason: result.skipped }] : [],
    ),
  );
  const trained = new Set([...decodedFiles(chunks.filter(({ split }) => split === 'training'))].map(labelOf));
  return {
    skipped,
    emptyClasses: classNames.filter((_, label) => !trained.has(label)),
    duplicates: findDuplicates(chunks),
  };
}

function findDuplicates(chunks: readonly CompleteChunk[]): ImportRecord['duplicates'] {
  const firstOf = new Map<string, { file: string; split: SplitName }>();
  const examples: [string, string][] = [];
  let images = 0;
  for (const split of splitNames) {
    for (const { path: file, pixels } of decodedFiles(chunks.filter((complete) => complete.split === split))) {
      const first = firstOf.get(pixels);
      if (first === undefined) firstOf.set(pixels, { file, split });
      else if (first.split !== split) {
        images += 1;
        if (examples.length < maxExamples) examples.push([first.file, file]);
      }
    }
  }
  return { images, examples };
}

function* decodedFiles(chunks: readonly CompleteChunk[]): Generator<SourceFile & { pixels: string }> {
  for (const { files, chunk } of chunks) {
    for (const [index, result] of chunk.results.entries()) {
      if ('pixels' in result) yield { ...files[index], pixels: result.pixels };
    }
  }
}

function labelOf({ label }: SourceFile): number {
  return label;
}

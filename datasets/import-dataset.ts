// Converts a dataset in any supported format into a packed dataset.
import { realpath } from 'node:fs/promises';
import { importFiles, importImageFolder, type ImportOutcome } from './images/import-folder.js';
import { assertWritable, writePackedDataset } from './packed/packed-dataset.js';
import { locateDataset, openDataset } from './read-dataset.js';
import type { ReadOptions } from './read-options.js';

/**
 * Writes the dataset in `source` to the folder `target`. An image folder is imported as by readDataset, but not into the
 * cache. An interrupted import resumes.
 * @param options.overwrite whether to replace a different dataset in `target` (default: false)
 * Throws `bad-data` if `source` cannot be read, or if `target` holds something else, and `interrupted` if aborted.
 */
export async function importDataset(
  source: string,
  target: string,
  options: Omit<ReadOptions, 'cacheDirectory'> & { overwrite?: boolean } = {},
): Promise<ImportOutcome> {
  const { overwrite = false } = options;
  const found = await locateDataset(source);
  if (found.format === 'images') {
    const folder = await realpath(source);
    await assertWritable(target, {
      overwrite,
      isSame: ({ import: earlier }) => earlier?.folder === folder,
      ownFiles: importFiles,
    });
    return importImageFolder(source, target, options);
  }
  await assertWritable(target, { overwrite, isSame: () => false, ownFiles: importFiles });
  const { dataset, manifest } = await openDataset(source, options);
  const written = await writePackedDataset(
    target,
    { ...dataset, source: manifest?.source ?? dataset.source },
    manifest?.import ?? null,
  );
  return { manifest: written, isReused: false };
}

// A packed dataset: a folder with a file of records per split, and manifest.json with their SHA-256s.
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import {
  labelBytesOf,
  recordBytesOf,
  type Dataset,
  type DatasetDescription,
} from '../../shared/dataset/description.js';
import { messageOf } from '../../shared/errors.js';
import { sha256Of } from '../../shared/sha256.js';
import { badData, entriesOf, fileSize, isFolder, readFileBytes } from '../file-bytes.js';
import {
  manifestFile,
  manifestOf,
  readManifest,
  splitBytes,
  splitFile,
  splitNames,
  type ImportRecord,
  type Manifest,
  type SplitName,
  type SplitSummary,
} from './manifest.js';

/** Reads a packed dataset and checks it against its manifest. Throws `bad-data` for a missing or damaged file. */
export async function readPackedDataset(folder: string, manifest: Manifest): Promise<Dataset> {
  return {
    description: manifest.description,
    training: (await readSplit(folder, manifest, 'training'))!,
    validation: await readSplit(folder, manifest, 'validation'),
    test: await readSplit(folder, manifest, 'test'),
    source: `${manifest.source} (packed in ${folder})`,
  };
}

async function readSplit(folder: string, manifest: Manifest, split: SplitName): Promise<Uint8Array | null> {
  const summary = manifest.splits[split];
  if (summary === null) return null;
  const file = path.join(folder, splitFile(split));
  const remedy = 'Import the dataset again.';
  const expectedBytes = splitBytes(manifest, split);
  const bytes = await fileSize(file);
  // Checked before the file is read, so that a wrong file is refused without reading gigabytes.
  if (bytes !== undefined && bytes !== expectedBytes) {
    throw badData(`${file} is damaged: it has ${bytes} bytes, expected ${expectedBytes}. ${remedy}`);
  }
  const records = await readFileBytes(file, remedy);
  const sha256 = sha256Of(records);
  if (sha256 !== summary.sha256) {
    throw badData(`${file} is damaged: its SHA-256 is ${sha256}, expected ${summary.sha256}. ${remedy}`);
  }
  const perClass = countPerClass(records, manifest.description);
  if (perClass.some((images, label) => images !== summary.perClass[label])) {
    throw badData(`${file} does not match ${manifestFile}: its images per class differ. ${remedy}`);
  }
  return records;
}

/** Writes a dataset. The manifest is written last, so that an interrupted write leaves no valid dataset. */
export async function writePackedDataset(
  folder: string,
  dataset: Dataset,
  imported: ImportRecord | null,
): Promise<Manifest> {
  try {
    await mkdir(folder, { recursive: true });
    await rm(path.join(folder, manifestFile), { force: true });
    for (const split of splitNames) {
      const file = path.join(folder, splitFile(split));
      const records = dataset[split];
      if (records === null) await rm(file, { force: true });
      else await writeFile(file, records);
    }
    const manifest = manifestOf(
      dataset,
      {
        training: summarize(dataset.training, dataset.description),
        validation: dataset.validation && summarize(dataset.validation, dataset.description),
        test: dataset.test && summarize(dataset.test, dataset.description),
      },
      imported,
    );
    await writeManifest(folder, manifest);
    return manifest;
  } catch (error) {
    throw badData(`cannot write the dataset to ${folder}: ${messageOf(error)}`, error);
  }
}

export async function writeManifest(folder: string, manifest: Manifest): Promise<void> {
  const file = path.join(folder, manifestFile);
  await writeFile(`${file}.partial`, `${JSON.stringify(manifest, undefined, 2)}\n`);
  await rename(`${file}.partial`, file);
}

/**
 * Throws `bad-data` if a dataset must not be written to a folder: because it has other contents, or holds a different
 * dataset and `overwrite` is false.
 * @param isSame whether the manifest in the folder is of the dataset to be written
 * @param ownFiles names of files that may be in the folder without a manifest
 */
export async function assertWritable(
  folder: string,
  { overwrite, isSame, ownFiles }: { overwrite: boolean; isSame: (manifest: Manifest) => boolean; ownFiles: string[] },
): Promise<void> {
  if ((await fileSize(folder)) !== undefined) {
    throw badData(`${folder} is a file: specify a folder for the packed dataset`);
  }
  if (!(await isFolder(folder))) return;
  const manifest = await readManifest(folder);
  if (manifest === undefined) {
    const others = (await entriesOf(folder)).filter(({ name }) => !ownFiles.includes(name));
    if (others.length === 0) return;
    throw badData(`${folder} is not empty: it contains ${others[0].name}. Specify a new folder for the packed dataset`);
  }
  if (overwrite || isSame(manifest)) return;
  throw badData(
    `${folder} already holds a different dataset (${manifest.source}): choose another folder, or use \`overwrite\` to ` +
      'replace it',
  );
}

/** Returns the number of records, the SHA-256 and the images per class of a split. */
export function summarize(records: Uint8Array, description: DatasetDescription): SplitSummary {
  return {
    records: records.length / recordBytesOf(description),
    sha256: sha256Of(records),
    perClass: countPerClass(records, description),
  };
}

function countPerClass(records: Uint8Array, description: DatasetDescription): number[] {
  const counts = description.classNames.map(() => 0);
  const recordBytes = recordBytesOf(description);
  const isWide = labelBytesOf(description) === 2;
  for (let offset = 0; offset < records.length; offset += recordBytes) {
    const label = records[offset] + (isWide ? 256 * records[offset + 1] : 0);
    if (label >= counts.length) {
      throw badData(`record ${offset / recordBytes} has the label ${label}; labels are 0 to ${counts.length - 1}`);
    }
    counts[label] += 1;
  }
  return counts;
}

// A packed dataset: a folder with a file of records per split, and manifest.json with their SHA-256s.
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createHash } from 'node:crypto';
import {
  labelBytesOf,
  recordBytesOf,
  type DatasetDescription,
  type StoredDataset,
} from '../../shared/dataset/description.js';
import { chunksOf, type Records } from '../../shared/dataset/records.js';
import { messageOf } from '../../shared/errors.js';
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
import { RecordsOnDisk } from './records-on-disk.js';

/** Total size of the splits up to which a dataset is read into memory. */
const defaultMemoryBytes = 2 ** 30;

/**
 * Opens a packed dataset and checks it against its manifest. A large dataset stays in its files. Throws `bad-data` for a
 * missing or damaged file.
 */
export async function openPackedDataset(
  folder: string,
  manifest: Manifest,
  memoryBytes = defaultMemoryBytes,
): Promise<StoredDataset> {
  const isLarge = splitNames.reduce((sum, split) => sum + splitBytes(manifest, split), 0) > memoryBytes;
  const open = (split: SplitName) => openSplit(folder, manifest, split, isLarge);
  return {
    description: manifest.description,
    training: (await open('training'))!,
    validation: await open('validation'),
    test: await open('test'),
    source: `${manifest.source} (packed in ${folder})`,
  };
}

async function openSplit(
  folder: string,
  manifest: Manifest,
  split: SplitName,
  isLarge: boolean,
): Promise<Records | null> {
  const expected = manifest.splits[split];
  if (expected === null) return null;
  const file = path.join(folder, splitFile(split));
  const remedy = 'Import the dataset again.';
  const expectedBytes = splitBytes(manifest, split);
  const bytes = await fileSize(file);
  // Checked before the file is read, so that a wrong file is refused without reading gigabytes.
  if (bytes !== undefined && bytes !== expectedBytes) {
    throw badData(`${file} is damaged: it has ${bytes} bytes, expected ${expectedBytes}. ${remedy}`);
  }
  const records = isLarge && bytes !== undefined ? new RecordsOnDisk(file, bytes) : await readFileBytes(file, remedy);
  const { sha256, perClass, invalid } = await examine(records, manifest.description);
  if (sha256 !== expected.sha256) {
    throw badData(`${file} is damaged: its SHA-256 is ${sha256}, expected ${expected.sha256}. ${remedy}`);
  }
  if (invalid !== undefined) throw badData(`${file}: ${invalid}. ${remedy}`);
  if (perClass.some((images, label) => images !== expected.perClass[label])) {
    throw badData(`${file} does not match ${manifestFile}: its images per class differ. ${remedy}`);
  }
  return records;
}

/** Writes a dataset. The manifest is written last, so that an interrupted write leaves no valid dataset. */
export async function writePackedDataset(
  folder: string,
  dataset: StoredDataset,
  imported: ImportRecord | null,
): Promise<Manifest> {
  try {
    await mkdir(folder, { recursive: true });
    await rm(path.join(folder, manifestFile), { force: true });
    for (const split of splitNames) {
      const file = path.join(folder, splitFile(split));
      const records = dataset[split];
      if (records === null) await rm(file, { force: true });
      else await writeFile(file, chunksOf(records, recordBytesOf(dataset.description)));
    }
    const manifest = manifestOf(
      dataset,
      {
        training: await summarize(dataset.training, dataset.description),
        validation: dataset.validation && (await summarize(dataset.validation, dataset.description)),
        test: dataset.test && (await summarize(dataset.test, dataset.description)),
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

/** Returns the number of records, the SHA-256 and the images per class of a split. Throws `bad-data` for invalid labels. */
export async function summarize(records: Records, description: DatasetDescription): Promise<SplitSummary> {
  const { invalid, ...summary } = await examine(records, description);
  if (invalid !== undefined) throw badData(invalid);
  return summary;
}

/** Like summarize, but returns what is wrong with the first invalid label instead of throwing. */
async function examine(
  records: Records,
  description: DatasetDescription,
): Promise<SplitSummary & { invalid: string | undefined }> {
  const recordBytes = recordBytesOf(description);
  const isWide = labelBytesOf(description) === 2;
  const hash = createHash('sha256');
  const perClass = description.classNames.map(() => 0);
  let invalid: string | undefined;
  let record = 0;
  for await (const chunk of chunksOf(records, recordBytes)) {
    hash.update(chunk);
    for (let offset = 0; offset < chunk.length; offset += recordBytes, record++) {
      const label = chunk[offset] + (isWide ? 256 * chunk[offset + 1] : 0);
      if (label < perClass.length) perClass[label] += 1;
      else invalid ??= `record ${record} has the label ${label}; labels are 0 to ${perClass.length - 1}`;
    }
  }
  return { records: record, sha256: hash.digest('hex'), perClass, invalid };
}

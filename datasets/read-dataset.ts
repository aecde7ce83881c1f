// Reads a dataset in any supported format, which is recognized by the contents of its folder.
import { constants } from 'node:buffer';
import { realpath } from 'node:fs/promises';
import path from 'node:path';
import { maxImageSize, type Dataset, type StoredDataset } from '../shared/dataset/description.js';
import { bytesOf, type Records } from '../shared/dataset/records.js';
import { officialClassNames } from '../shared/dataset/cifar10-layout.js';
import { defaultDataDirectory, holdsCifar10, loadCifar10 } from '../shared/dataset/cifar10.js';
import { synthesizeDataset } from '../shared/dataset/synthesize.js';
import { cacheFolder } from '../shared/cache-folder.js';
import { LockstepError } from '../shared/errors.js';
import { sha256Of } from '../shared/sha256.js';
import { findCifar100, readCifar100 } from './cifar100.js';
import { badData, entriesOf, fileSize, isFolder } from './file-bytes.js';
import { findIdx, readIdx } from './idx.js';
import { importImageFolder } from './images/import-folder.js';
import { importWarnings } from './images/import-warnings.js';
import { isImageFolder } from './images/scan-folder.js';
import { readManifest, type Manifest } from './packed/manifest.js';
import { openPackedDataset } from './packed/packed-dataset.js';
import { defaultImageSize, type ReadOptions } from './read-options.js';

/** Recognized format of a folder, with the folder that contains the files. */
export type DatasetLocation =
  | { format: 'packed'; folder: string; manifest: Manifest }
  | { format: 'cifar10'; folder: string }
  | { format: 'cifar100'; folder: string }
  | { format: 'idx'; folder: string }
  | { format: 'images'; folder: string };

/** Number of entries that an error names. */
const maxEntries = 5;

/**
 * Reads the dataset in a folder: CIFAR-10, CIFAR-100 (binary version), MNIST and others in its format, a packed dataset,
 * or an image folder, which is imported into the cache first.
 * Throws `bad-data` if the folder contains none of these, or if a file is damaged, and `bad-option` for an image size
 * that the dataset does not have.
 */
export async function readDataset(location: string, options: ReadOptions = {}): Promise<Dataset> {
  const { dataset } = await openDataset(location, options);
  const { training, validation, test } = dataset;
  return {
    ...dataset,
    training: await inMemory(training),
    validation: validation && (await inMemory(validation)),
    test: test && (await inMemory(test)),
  };
}

/**
 * Returns the dataset for a run: from the given folder, otherwise from ./data if it contains CIFAR-10, otherwise
 * synthetic images. The dataset's `source` says which was chosen. Throws the errors of readDataset.
 * @param defaultDirectory folder to search if no folder is given
 * @param synthetic size and seed of the synthetic images (default: seed 0, 50,000 training and 10,000 test images)
 */
export async function resolveDataset(
  location: string | undefined,
  options: ReadOptions = {},
  defaultDirectory = defaultDataDirectory,
  synthetic?: Parameters<typeof synthesizeDataset>[0],
): Promise<StoredDataset> {
  if (location !== undefined) return (await openDataset(location, options)).dataset;
  return (await holdsCifar10(defaultDirectory)) ? loadCifar10(defaultDirectory) : synthesizeDataset(synthetic);
}

export interface OpenDataset {
  format: DatasetLocation['format'];
  dataset: StoredDataset;
  /** Manifest of a packed dataset or of an imported image folder. Null for other formats. */
  manifest: Manifest | null;
}

async function inMemory(records: Records): Promise<Uint8Array> {
  if (records instanceof Uint8Array) return records;
  if (records.length > constants.MAX_LENGTH) {
    throw badData(`a split has ${records.length} bytes: at most ${constants.MAX_LENGTH} fit into memory at once`);
  }
  return bytesOf(records, 0, records.length);
}

/** Like readDataset, with the format and the manifest. A large packed dataset stays in its files. */
export async function openDataset(location: string, options: ReadOptions = {}): Promise<OpenDataset> {
  const found = await locateDataset(location);
  const opened =
    found.format === 'images'
      ? await openImageFolder(found.folder, options)
      : { dataset: await readFormat(found, options), manifest: found.format === 'packed' ? found.manifest : null };
  for (const warning of importWarnings(opened.manifest)) options.onWarning?.(warning);
  if (found.format !== 'images') checkImageSize(opened.dataset, options.imageSize);
  return { format: found.format, ...opened };
}

/** Recognizes the format of a folder by its contents. Throws `bad-data` if it has none of the supported formats. */
export async function locateDataset(location: string): Promise<DatasetLocation> {
  if (!(await isFolder(location))) {
    const found = (await fileSize(location)) === undefined ? 'does not exist' : 'is a file';
    throw badData(
      `${location} ${found}: specify the folder of a dataset, or download one with 'lockstep data download'`,
    );
  }
  const manifest = await readManifest(location);
  if (manifest !== undefined) return { format: 'packed', folder: location, manifest };
  if (await holdsCifar10(location)) return { format: 'cifar10', folder: location };
  const cifar100 = await findCifar100(location);
  if (cifar100 !== undefined) return { format: 'cifar100', folder: cifar100 };
  const idx = await findIdx(location);
  if (idx !== undefined) return { format: 'idx', folder: idx };
  if (await isImageFolder(location)) return { format: 'images', folder: location };
  throw await unrecognized(location);
}

/** Returns the folder in the cache for the import of an image folder. */
async function importTarget(folder: string, { cacheDirectory, imageSize, fit }: ReadOptions): Promise<string> {
  const absolute = await realpath(folder);
  const name = path
    .basename(absolute)
    .replaceAll(/[^\p{L}\p{N}_-]+/gu, '-')
    .slice(0, 40);
  const digest = sha256Of(Buffer.from(absolute)).slice(0, 12);
  return path.join(
    cacheDirectory ?? path.join(cacheFolder(), 'datasets'),
    `${name}-${imageSize ?? defaultImageSize}-${fit ?? 'crop'}-${digest}`,
  );
}

async function openImageFolder(folder: string, options: ReadOptions): Promise<Omit<OpenDataset, 'format'>> {
  const target = await importTarget(folder, options);
  const { manifest, isReused } = await importImageFolder(folder, target, options);
  try {
    return { dataset: await openPackedDataset(target, manifest), manifest };
  } catch (error) {
    if (!isReused || !(error instanceof LockstepError)) throw error;
    options.onWarning?.(error.message.replace('Import the dataset again.', 'Importing again.'));
    const repeated = await importImageFolder(folder, target, { ...options, isForced: true });
    return { dataset: await openPackedDataset(target, repeated.manifest), manifest: repeated.manifest };
  }
}

async function readFormat(
  found: Exclude<DatasetLocation, { format: 'images' }>,
  options: ReadOptions,
): Promise<StoredDataset> {
  switch (found.format) {
    case 'packed':
      return openPackedDataset(found.folder, found.manifest);
    case 'cifar10':
      return readCifar10(found.folder);
    case 'cifar100':
      return readCifar100(found.folder, options.labels ?? 'fine');
    case 'idx':
      return readIdx(found.folder);
    default:
      return found satisfies never;
  }
}

async function readCifar10(folder: string): Promise<Dataset> {
  const { description, ...rest } = await loadCifar10(folder);
  const isOfficial = description.classNames.join() === officialClassNames.join();
  const name = isOfficial ? description.name : path.basename(path.resolve(folder));
  return { ...rest, description: { ...description, name } };
}

function checkImageSize({ description, source }: StoredDataset, imageSize: number | undefined): void {
  const { height, width } = description;
  if (imageSize === undefined || (imageSize === height && imageSize === width)) return;
  throw new LockstepError(
    'bad-option',
    `\`imageSize\` is ${imageSize}, but ${source} has images of ${width}×${height} pixels: omit it, as only image ` +
      'folders are resized',
  );
}

async function unrecognized(location: string): Promise<LockstepError> {
  const names = (await entriesOf(location)).map(({ name }) => name).filter((name) => !name.startsWith('.'));
  const shown = names.slice(0, maxEntries).join(', ');
  const found = names.length === 0 ? 'it is empty' : `it contains ${shown}${names.length > maxEntries ? ', …' : ''}`;
  const formats =
    'CIFAR-10 (data_batch_1.bin, …), CIFAR-100 (train.bin, test.bin), MNIST (train-images-idx3-ubyte, …), a packed ' +
    `dataset (manifest.json), or a folder with one subfolder of images per class (at most ${maxImageSize}×${maxImageSize} ` +
    'after resizing)';
  return badData(`${location} is not a dataset: ${found}. Expected ${formats}. ${remedyFor(names)}`);
}

/** Returns what to do about files that are not a dataset, judging by their names. */
function remedyFor(names: readonly string[]): string {
  if (names.some((name) => /^cifar-100?-.*py|^data_batch_\d$|^meta$/.test(name))) {
    return "These may be the files for Python: download the binary version with 'lockstep data download'.";
  }
  if (names.some((name) => /\.(?:zip|tar|tgz|gz|7z|rar)$/.test(name))) return 'Unpack the archive first.';
  if (names.some((name) => /\.(?:png|jpe?g|webp|gif|tiff?|avif)$/i.test(name))) {
    return 'Move the images into one subfolder per class.';
  }
  return "Specify another folder, or download a dataset with 'lockstep data download'.";
}

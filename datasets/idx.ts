// Reads MNIST, Fashion-MNIST and other datasets in their format, IDX: four files, gzipped or not.
import { constants } from 'node:buffer';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import {
  maxImageSize,
  pixelBytesOf,
  recordBytesOf,
  type Dataset,
  type DatasetDescription,
} from '../shared/dataset/description.js';
import { messageOf } from '../shared/errors.js';
import { digitClassNames, fashionClassNames } from './class-names.js';
import { badData, fileSize, readFileBytes, readLines } from './file-bytes.js';

/** Subfolders in which torchvision keeps the files. */
const knownSubfolders = ['', 'MNIST/raw', 'FashionMNIST/raw'];
/** Optional file with the class names, one per line. */
const classNamesFile = 'class-names.txt';

const splits = { training: 'train', test: 't10k' } as const;
/** The third byte of a file is its data type: 8 for unsigned bytes. The fourth is the number of dimensions. */
const unsignedBytes = 8;
const contents = {
  images: { dimensions: 3, magic: 0x0803 },
  labels: { dimensions: 1, magic: 0x0801 },
} as const;
type Content = keyof typeof contents;
/** Labels are bytes. */
const maxIdxClasses = 256;

/** First training labels of the official datasets, which have the same file names and sizes. */
const firstLabels = { mnist: '5041921314', 'fashion-mnist': '9003027255' };

/** Returns the folder with the IDX files: `directory` or a known subfolder; undefined if none contains any. */
export async function findIdx(directory: string): Promise<string | undefined> {
  for (const subfolder of knownSubfolders) {
    const folder = path.join(directory, subfolder);
    for (const prefix of Object.values(splits)) {
      for (const content of ['images', 'labels'] as const) {
        if ((await findFile(folder, prefix, content)) !== undefined) return folder;
      }
    }
  }
  return undefined;
}

/** Reads and checks both splits. Throws `bad-data` for a missing or damaged file. */
export async function readIdx(folder: string): Promise<Dataset> {
  const training = await readSplit(folder, splits.training);
  const test = await readSplit(folder, splits.test);
  if (training.height !== test.height || training.width !== test.width) {
    throw badData(
      `the training images in ${folder} have ${training.width}×${training.height} pixels, and the test images ` +
        `${test.width}×${test.height}: they must have the same size`,
    );
  }
  const { name, classNames } = await describeClasses(folder, training.labels, test.labels);
  const { height, width } = training;
  // Datasets in this format show digits and letters, with one well-known exception.
  const flippable = name === 'fashion-mnist';
  const description: DatasetDescription = { name, height, width, channels: 1, classNames, fit: null, flippable };
  return {
    description,
    training: recordsOf(training, description),
    validation: null,
    test: recordsOf(test, description),
    source: `IDX files in ${folder} (${name})`,
  };
}

interface Split {
  height: number;
  width: number;
  labels: Uint8Array;
  pixels: Uint8Array;
}

async function readSplit(folder: string, prefix: string): Promise<Split> {
  const images = await readIdxFile(folder, prefix, 'images');
  const [count, height, width] = images.sizes;
  if (height < 1 || width < 1 || height > maxImageSize || width > maxImageSize) {
    throw badData(
      `${images.file} has images of ${width}×${height} pixels: they must have from 1×1 to ` +
        `${maxImageSize}×${maxImageSize}`,
    );
  }
  const labels = await readIdxFile(folder, prefix, 'labels');
  if (labels.sizes[0] !== count || count === 0) {
    throw badData(
      `${images.file} has ${count} images, but ${labels.file} has ${labels.sizes[0]} labels: ` +
        (count === 0 ? 'at least one image is needed' : 'they belong to different datasets. Download both files again'),
    );
  }
  return { height, width, labels: labels.values, pixels: images.values };
}

interface IdxFile {
  file: string;
  /** Size of each dimension; the first is the number of images or labels. */
  sizes: number[];
  values: Uint8Array;
}

async function readIdxFile(folder: string, prefix: string, content: Content): Promise<IdxFile> {
  const file = await findFile(folder, prefix, content);
  if (file === undefined) {
    const name = fileNames(prefix, content)[0];
    throw badData(`${path.join(folder, name)} is missing, with or without .gz: an IDX dataset consists of four files`);
  }
  const remedy = 'Download it again.';
  const bytes = unzip(file, await readFileBytes(file, remedy), remedy);
  const { dimensions, magic } = contents[content];
  const headerBytes = 4 + 4 * dimensions;
  const hex = (value: number) => `0x${value.toString(16).padStart(8, '0')}`;
  if (bytes.length < headerBytes) {
    throw badData(`${file} ends within its header of ${headerBytes} bytes: it has ${bytes.length}. ${remedy}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found = view.getUint32(0);
  if (found !== magic) {
    throw badData(
      `${file} is not an IDX file with ${content}: its magic number is ${hex(found)}, expected ${hex(magic)} ` +
        `(type ${unsignedBytes}, ${dimensions} dimension${dimensions === 1 ? '' : 's'}). ${remedy}`,
    );
  }
  const sizes = Array.from({ length: dimensions }, (_, index) => view.getUint32(4 + 4 * index));
  const expected = sizes.reduce((product, size) => product * size, 1);
  const values = bytes.subarray(headerBytes);
  if (values.length !== expected) {
    throw badData(
      `${file} is truncated or damaged: its header announces ${sizes.join('×')} bytes of ${content}, and ` +
        `${values.length} follow. ${remedy}`,
    );
  }
  return { file, sizes, values };
}

function unzip(file: string, bytes: Uint8Array<ArrayBuffer>, remedy: string): Uint8Array {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  try {
    return gunzipSync(bytes, { maxOutputLength: constants.MAX_LENGTH });
  } catch (error) {
    throw badData(`${file} is a damaged gzip file (${messageOf(error)}). ${remedy}`, error);
  }
}

async function findFile(folder: string, prefix: string, content: Content): Promise<string | undefined> {
  for (const name of fileNames(prefix, content)) {
    for (const suffix of ['', '.gz']) {
      const file = path.join(folder, `${name}${suffix}`);
      if ((await fileSize(file)) !== undefined) return file;
    }
  }
  return undefined;
}

/** The second form is common among unpacked copies. */
function fileNames(prefix: string, content: Content): string[] {
  const { dimensions } = contents[content];
  return ['-', '.'].map((separator) => `${prefix}-${content}${separator}idx${dimensions}-ubyte`);
}

/** Returns the class names from the optional file, or those of the official dataset with these labels. */
async function describeClasses(
  folder: string,
  training: Uint8Array,
  test: Uint8Array,
): Promise<{ name: string; classNames: readonly string[] }> {
  const first = training.subarray(0, firstLabels.mnist.length).join('');
  const isFashion = first === firstLabels['fashion-mnist'];
  const known = isFashion ? 'fashion-mnist' : first === firstLabels.mnist ? 'mnist' : undefined;
  const name = known ?? path.basename(path.resolve(folder));
  let highest = 0;
  for (const labels of [training, test]) for (const label of labels) highest = Math.max(highest, label);
  const file = path.join(folder, classNamesFile);
  const names = await readLines(file);
  if (names !== undefined) {
    if (names.length > highest && names.length <= maxIdxClasses) return { name, classNames: names };
    throw badData(
      `${file} has ${names.length} class names, but the highest label is ${highest}: it must have from ${highest + 1} ` +
        `to ${maxIdxClasses}, one per line`,
    );
  }
  const builtIn = isFashion ? fashionClassNames : digitClassNames;
  if (highest < builtIn.length) return { name, classNames: builtIn };
  return { name, classNames: Array.from({ length: highest + 1 }, (_, label) => String(label)) };
}

function recordsOf({ labels, pixels }: Split, description: DatasetDescription): Uint8Array {
  const pixelBytes = pixelBytesOf(description);
  const recordBytes = recordBytesOf(description);
  const records = new Uint8Array(labels.length * recordBytes);
  for (const [index, label] of labels.entries()) {
    const offset = index * recordBytes;
    records[offset] = label;
    records.set(pixels.subarray(index * pixelBytes, (index + 1) * pixelBytes), offset + 1);
  }
  return records;
}

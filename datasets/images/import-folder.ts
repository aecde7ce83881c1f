// Imports an image folder: decodes and resizes every image once, into a packed dataset. Does nothing if the folder has
// not changed since the last import.
import { constants } from 'node:buffer';
import { createHash } from 'node:crypto';
import { mkdir, readdir, realpath, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { maxImageSize, type DatasetDescription } from '../../shared/dataset/description.js';
import { LockstepError, ifMissing, messageOf } from '../../shared/errors.js';
import { badData } from '../file-bytes.js';
import { manifestFile, manifestOf, readManifest, splitFile, splitNames, type Manifest } from '../packed/manifest.js';
import { writeManifest } from '../packed/packed-dataset.js';
import { defaultImageSize, type ImportOptions } from '../read-options.js';
import { filesPerChunk, type ChunkTask, type RecordFormat } from './chunk.js';
import { decodeChunks } from './decode-chunks.js';
import { lockFile, withFolderLock } from './folder-lock.js';
import { decodingRules, resizeKernel } from './import-rules.js';
import { findProblems, packSplit, type CompleteChunk } from './pack-chunks.js';
import { scanImageFolder, type ImageFolder, type SourceFile } from './scan-folder.js';

/** Folder with the chunks of an import that is not complete. */
const chunkFolder = '.partial';
/** Files that an interrupted import may leave in its target folder. */
export const importFiles = [chunkFolder, lockFile, ...splitNames.map(splitFile)];

export interface ImportOutcome {
  manifest: Manifest;
  /** Whether the images had already been imported and had not changed. */
  isReused: boolean;
}

/**
 * Imports `source` into `target`, which may hold an earlier import, complete or not. The images are decoded again only
 * if files or options have changed.
 * Throws `bad-data` for a folder that is not an image folder or has no readable images, and `interrupted` if aborted.
 */
export async function importImageFolder(
  source: string,
  target: string,
  options: ImportOptions = {},
): Promise<ImportOutcome> {
  const { imageSize = defaultImageSize, fit = 'crop', isForced = false } = options;
  checkImageSize(imageSize);
  const folder = await realpath(source);
  await assertOutside(folder, target);
  const images = await scanImageFolder(folder);
  const labelBytes = images.classNames.length > 256 ? 2 : 1;
  const request: ImportRequest = { folder, target, images, format: { imageSize, fit, labelBytes } };
  checkTotalSize(request);
  // Reusing an import takes no lock, so that the cache may be read-only.
  const earlier = isForced ? undefined : await findCurrent(request);
  if (earlier !== undefined) return { manifest: earlier, isReused: true };
  try {
    await mkdir(target, { recursive: true });
    const manifest = await withFolderLock(target, async () => decodeAndPack(request, options));
    return { manifest, isReused: false };
  } catch (error) {
    if (error instanceof LockstepError) throw error;
    throw new LockstepError('save-failed', `cannot import ${source} into ${target}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

interface ImportRequest {
  /** The image folder, as an absolute path without symbolic links. */
  folder: string;
  target: string;
  images: ImageFolder;
  format: RecordFormat;
}

function checkImageSize(imageSize: number): void {
  if (Number.isInteger(imageSize) && imageSize >= 1 && imageSize <= maxImageSize) return;
  throw new LockstepError(
    'bad-option',
    `\`imageSize\` is ${imageSize}: it must be a whole number from 1 to ${maxImageSize}`,
  );
}

/** The images of a folder must not change because it is imported. */
async function assertOutside(folder: string, target: string): Promise<void> {
  const resolved = await realpath(target).catch(ifMissing(path.resolve(target)));
  const relative = path.relative(folder, resolved);
  if (relative === '..' || relative.startsWith(`..${path.sep}`) || path.isAbsolute(relative)) return;
  throw badData(`${target} is inside the image folder ${folder}: choose a folder outside it for the packed dataset`);
}

/** A split is read into memory as a whole. */
function checkTotalSize({ images, format, folder }: ImportRequest): void {
  const recordBytes = format.labelBytes + 3 * format.imageSize ** 2;
  const largest = Math.max(...splitNames.map((split) => images.splits[split]?.length ?? 0));
  if (largest * recordBytes <= constants.MAX_LENGTH) return;
  throw new LockstepError(
    'bad-option',
    `\`imageSize\` is ${format.imageSize}: ${largest} images of this size in ${folder} have ` +
      `${largest * recordBytes} bytes, and at most ${constants.MAX_LENGTH} fit into memory at once. Choose a smaller size`,
  );
}

/** Returns the manifest of an earlier import of the same files. A damaged manifest does not prevent a new import. */
async function findCurrent(request: ImportRequest): Promise<Manifest | undefined> {
  const earlier = await readManifest(request.target).catch(() => undefined);
  return earlier !== undefined && isCurrent(earlier, request) ? earlier : undefined;
}

/** Returns whether an import has the same options and files. */
function isCurrent({ import: earlier }: Manifest, { folder, images, format }: ImportRequest): boolean {
  return (
    earlier !== null &&
    earlier.folder === folder &&
    earlier.imageSize === format.imageSize &&
    earlier.fit === format.fit &&
    earlier.rules === decodingRules &&
    earlier.sourcesSha256 === sourcesSha256(images)
  );
}

/** Digest of the names of the classes and of the paths, sizes and times of modification of all files. */
function sourcesSha256({ classNames, splits, ignored }: ImageFolder): string {
  const hash = createHash('sha256').update(JSON.stringify([classNames, ignored]));
  for (const split of splitNames) {
    hash.update(`\n${split} ${splits[split] === null}\n`);
    for (const { path: name, size, mtimeMs } of splits[split] ?? []) {
      hash.update(`${JSON.stringify([name, size, mtimeMs])}\n`);
    }
  }
  return hash.digest('hex');
}

async function decodeAndPack(request: ImportRequest, options: ImportOptions): Promise<Manifest> {
  const { target, images, folder, format } = request;
  const staging = path.join(target, chunkFolder);
  await mkdir(staging, { recursive: true });
  const planned = planChunks(request, staging);
  await removeOthers(staging, planned);
  const { processes, onProgress, signal } = options;
  const { chunks, decoder } = await decodeChunks(
    planned.map(({ task }) => task),
    { processes, onProgress, signal },
  );
  const complete: CompleteChunk[] = planned.map(({ split, task: { files, target: chunk } }, index) => ({
    split,
    files,
    chunk: chunks[index],
    target: chunk,
  }));
  const problems = findProblems(complete, images.classNames);
  const pack = async (split: (typeof splitNames)[number]) =>
    packSplit(staging, split, complete, images.classNames.length);
  const training = await pack('training');
  if (training === null) throw noImages(folder, problems.skipped);
  const splits = { training, validation: await pack('validation'), test: await pack('test') };
  const isResized = chunks.some(({ resized }) => resized > 0);
  const { imageSize, fit } = format;
  const description: DatasetDescription = {
    name: path.basename(folder),
    height: imageSize,
    width: imageSize,
    channels: 3,
    classNames: images.classNames,
    fit: isResized ? fit : null,
  };
  const manifest = manifestOf({ description, source: `images in ${folder}` }, splits, {
    folder,
    imageSize,
    fit,
    rules: decodingRules,
    kernel: resizeKernel,
    decoder,
    files: complete.reduce((total, { files }) => total + files.length, 0),
    sourcesSha256: sourcesSha256(images),
    ignored: images.ignored,
    ...problems,
  });
  await install(staging, target, manifest);
  return manifest;
}

/** Divides the files of each split into chunks. */
function planChunks(
  { folder, images, format }: ImportRequest,
  staging: string,
): { split: (typeof splitNames)[number]; task: ChunkTask }[] {
  return splitNames.flatMap((split) => {
    const files = images.splits[split] ?? [];
    const groups = Array.from({ length: Math.ceil(files.length / filesPerChunk) }, (_, index): SourceFile[] =>
      files.slice(index * filesPerChunk, (index + 1) * filesPerChunk),
    );
    return groups.map((group, index) => {
      const target = path.join(staging, `${split}-${String(index).padStart(5, '0')}`);
      return { split, task: { folder, files: group, format, target, crashed: {} } };
    });
  });
}

/** Removes what an earlier import of different files has left. */
async function removeOthers(staging: string, planned: readonly { task: ChunkTask }[]): Promise<void> {
  const expected = new Set(
    planned.flatMap(({ task }) => ['.bin', '.json'].map((extension) => path.basename(task.target) + extension)),
  );
  for (const name of await readdir(staging)) {
    if (!expected.has(name)) await rm(path.join(staging, name), { recursive: true });
  }
}

/**
 * Moves the files into place. The old manifest is removed first and the new one written last, so that an interruption
 * leaves an incomplete dataset rather than a mixture of two.
 */
async function install(staging: string, target: string, manifest: Manifest): Promise<void> {
  await rm(path.join(target, manifestFile), { force: true });
  for (const split of splitNames) {
    const file = path.join(target, splitFile(split));
    if (manifest.splits[split] === null) await rm(file, { force: true });
    else await rename(path.join(staging, splitFile(split)), file);
  }
  await writeManifest(target, manifest);
  await rm(staging, { recursive: true, force: true });
}

function noImages(folder: string, skipped: readonly { file: string; reason: string }[]): LockstepError {
  if (skipped.length === 0) return badData(`${folder} has no files in its class folders: add images to each of them`);
  const examples = skipped.slice(0, 3).map(({ file, reason }) => `${file} (${reason})`);
  const others = skipped.length - examples.length;
  const more = others > 0 ? `, and ${others} more files` : '';
  return badData(`none of the training images in ${folder} can be read: ${examples.join('; ')}${more}`);
}

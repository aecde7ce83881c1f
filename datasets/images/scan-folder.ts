// Lists the images of a folder: its splits, its classes, and the files of each class. Does not read the files.
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { maxClasses } from '../../shared/dataset/description.js';
import { badData, entriesOf } from '../file-bytes.js';
import { splitNames, type SplitName } from '../packed/manifest.js';

/** File of a class. */
export interface SourceFile {
  /** Path relative to the image folder, with forward slashes. */
  path: string;
  label: number;
  /** Size in bytes and time of modification: an import is repeated if either changes. -1 for an unreadable file. */
  size: number;
  mtimeMs: number;
}

export interface ImageFolder {
  /** Names of the class folders of all splits, sorted. */
  classNames: string[];
  /** Files of each split in the order of their records: by class, then by path. Null for a split without a folder. */
  splits: { training: SourceFile[]; validation: SourceFile[] | null; test: SourceFile[] | null };
  /** Files and folders that do not belong to a class. */
  ignored: string[];
}

const splitFolders: Readonly<Record<SplitName, readonly string[]>> = {
  training: ['train'],
  validation: ['val', 'validation'],
  test: ['test'],
};
const allSplitFolders = new Set(Object.values(splitFolders).flat());

const imageExtension = /\.(?:jpe?g|jfif|png|webp|gif|tiff?|avif|heic)$/i;
/** Levels of folders in the layout: splits and classes. */
const layoutDepth = 2;
/** Maximum number of nested folders in a class. */
const maxDepth = 16;
/** Number of files whose sizes are requested at the same time. */
const concurrentStats = 64;
/** Files that systems leave in folders of images. Hidden files are skipped, too. */
const systemFiles = new Set(['Thumbs.db', 'desktop.ini']);

/**
 * Returns whether a folder has the layout of an image folder: a file with the name of an image in a class folder. Other
 * folders are not searched for images, because they may be large.
 */
export async function isImageFolder(folder: string): Promise<boolean> {
  for (const name of (await contentsOf(folder)).folders) {
    if (await containsImage(path.join(folder, name), layoutDepth)) return true;
  }
  return false;
}

async function containsImage(folder: string, depth: number): Promise<boolean> {
  const { files, folders } = await contentsOf(folder);
  if (files.some((name) => imageExtension.test(name))) return true;
  if (depth === 1) return false;
  for (const name of folders) if (await containsImage(path.join(folder, name), depth - 1)) return true;
  return false;
}

/** Throws `bad-data` if the folder has fewer than two classes, or if a split has classes without training images. */
export async function scanImageFolder(folder: string): Promise<ImageFolder> {
  const top = await contentsOf(folder);
  const ignored = [...top.files];
  const names = await findSplitFolders(folder, top.folders);
  if (names !== undefined) ignored.push(...top.folders.filter((name) => !Object.values(names).includes(name)));
  const classFolders: Partial<Record<SplitName, string[]>> = {};
  const splitPaths = names ?? { training: '' };
  for (const split of splitNames) {
    const name = splitPaths[split];
    if (name === undefined) continue;
    const inside = name === '' ? top : await contentsOf(path.join(folder, name));
    classFolders[split] = inside.folders;
    if (name !== '') ignored.push(...inside.files.map((file) => `${name}/${file}`));
  }
  const classNames = classFolders.training ?? [];
  checkClasses(folder, classNames, classFolders, splitPaths);
  const labels = new Map(classNames.map((name, label) => [name, label]));
  const filesOf = async (split: SplitName) => {
    const folders = classFolders[split];
    if (folders === undefined) return null;
    const files: SourceFile[] = [];
    for (const name of folders) {
      const inside = path.posix.join(splitPaths[split] ?? '', name);
      files.push(...(await describeFiles(folder, await filesBelow(folder, inside), labels.get(name)!)));
    }
    return files;
  };
  return {
    classNames,
    splits: {
      training: (await filesOf('training')) ?? [],
      validation: await filesOf('validation'),
      test: await filesOf('test'),
    },
    ignored,
  };
}

/**
 * Returns the folders of the splits, or undefined if the folders are classes. `train` is a split if it contains folders
 * but no images, so that a class may also be named `train`.
 */
async function findSplitFolders(
  folder: string,
  folders: readonly string[],
): Promise<Partial<Record<SplitName, string>> | undefined> {
  if (!folders.includes('train')) {
    if (folders.length === 0 || folders.some((name) => !allSplitFolders.has(name))) return undefined;
    throw badData(`${folder} has ${folders.join(' and ')} but no train: add a folder train with the training images`);
  }
  const train = await contentsOf(path.join(folder, 'train'));
  if (train.folders.length === 0 || train.files.some((name) => imageExtension.test(name))) return undefined;
  const found: Partial<Record<SplitName, string>> = {};
  for (const split of splitNames) {
    const names = splitFolders[split].filter((name) => folders.includes(name));
    if (names.length > 1) throw badData(`${folder} has both ${names.join(' and ')}: remove or merge one of them`);
    if (names.length === 1) found[split] = names[0];
  }
  return found;
}

function checkClasses(
  folder: string,
  classNames: readonly string[],
  classFolders: Readonly<Partial<Record<SplitName, string[]>>>,
  splitPaths: Readonly<Partial<Record<SplitName, string>>>,
): void {
  if (classNames.length < 2 || classNames.length > maxClasses) {
    const where = path.join(folder, splitPaths.training ?? '');
    const found = classNames.length === 1 ? `one folder (${classNames[0]})` : `${classNames.length} folders`;
    throw badData(
      `${where} has ${found}: it must have from 2 to ${maxClasses}, one per class. If its subfolder contains the ` +
        'classes, specify that folder',
    );
  }
  const known = new Set(classNames);
  for (const split of splitNames) {
    const unknown = classFolders[split]?.filter((name) => !known.has(name)) ?? [];
    if (unknown.length === 0) continue;
    throw badData(
      `${path.join(folder, splitPaths[split] ?? '', unknown[0])} is a class without a folder of training images: add ` +
        `${path.join(folder, splitPaths.training ?? '', unknown[0])}, or remove it`,
    );
  }
}

/** Returns the names of the files and folders in a folder, sorted. Follows symbolic links. */
async function contentsOf(folder: string): Promise<{ files: string[]; folders: string[] }> {
  const files: string[] = [];
  const folders: string[] = [];
  for (const entry of await entriesOf(folder)) {
    if (entry.name.startsWith('.') || systemFiles.has(entry.name)) continue;
    const target = entry.isSymbolicLink() ? await stat(path.join(folder, entry.name)).catch(() => entry) : entry;
    if (target.isDirectory()) folders.push(entry.name);
    // Links without a target are reported as unreadable files. Reading a pipe, socket or device might never end.
    else if (target.isFile() || target.isSymbolicLink()) files.push(entry.name);
  }
  return { files, folders };
}

/** Returns the paths of all files of a class, including those in nested folders, relative to the image folder. */
async function filesBelow(folder: string, below: string, depth = 0): Promise<string[]> {
  if (depth > maxDepth) throw badData(`${path.join(folder, below)} is nested more than ${maxDepth} folders deep`);
  const { files, folders } = await contentsOf(path.join(folder, below));
  const paths = files.map((name) => path.posix.join(below, name));
  for (const name of folders) paths.push(...(await filesBelow(folder, path.posix.join(below, name), depth + 1)));
  return paths;
}

async function describeFiles(folder: string, paths: readonly string[], label: number): Promise<SourceFile[]> {
  const files: SourceFile[] = [];
  for (let first = 0; first < paths.length; first += concurrentStats) {
    const described = paths.slice(first, first + concurrentStats).map(async (file): Promise<SourceFile> => {
      const found = await stat(path.join(folder, file)).catch(() => undefined);
      return { path: file, label, size: found?.size ?? -1, mtimeMs: found?.mtimeMs ?? -1 };
    });
    files.push(...(await Promise.all(described)));
  }
  return files;
}

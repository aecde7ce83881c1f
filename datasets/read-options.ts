// Options of readDataset.

import type { Config } from '../shared/config/config.js';
import type { ImageFit, LabelKind } from '../shared/dataset/description.js';

/** Height and width of the images of a folder, unless specified. */
export const defaultImageSize = 64;

/** How the images of a folder are imported. */
export interface ImportOptions {
  /** Height and width to resize images to, in pixels (default: 64). */
  imageSize?: number | undefined;
  /** How to make images square (default: crop). */
  fit?: ImageFit | undefined;
  /** Number of processes that decode images (default: one per processor core). It does not affect the result. */
  processes?: number | undefined;
  /** Whether to decode all images again, even if they have been imported before and have not changed (default: false). */
  isForced?: boolean | undefined;
  /** Called while images are decoded, with the number of images that are done and the total. */
  onProgress?: ((done: number, total: number) => void) | undefined;
  /** Aborts the import. The images decoded so far are kept, and the next import resumes after them. */
  signal?: AbortSignal | undefined;
}

export interface ReadOptions extends ImportOptions {
  /** Labels to use for CIFAR-100 (default: fine). Other datasets have only one label per image. */
  labels?: LabelKind | undefined;
  /**
   * Folder in which to keep imported image folders. By default, `lockstep/datasets` in `$XDG_CACHE_HOME`, or in
   * `~/.cache` if that variable is not set.
   */
  cacheDirectory?: string | undefined;
  /** Called with each warning, such as one that names the image files that were skipped. */
  onWarning?: ((text: string) => void) | undefined;
}

/** Callbacks of a program that reads a dataset. */
export interface DatasetHandlers {
  /** Called with each warning about the dataset in `data`, such as one that names image files that were skipped. */
  onDatasetWarning?: ((text: string) => void) | undefined;
  /** Called while the images of a folder are imported, with the number of images that are done and the total. */
  onDatasetProgress?: ((done: number, total: number) => void) | undefined;
}

/** Returns the options for reading the dataset of a run. */
export function readOptionsOf(
  { imageSize, fit, labels }: Pick<Config, 'imageSize' | 'fit' | 'labels'>,
  { onDatasetWarning: onWarning, onDatasetProgress: onProgress }: DatasetHandlers,
): ReadOptions {
  return { imageSize: imageSize ?? undefined, fit, labels, onWarning, onProgress };
}

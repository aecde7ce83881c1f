// Options of readDataset.

export const imageFits = ['crop', 'squeeze'] as const;
/** How to bring an image to the size of the dataset: crop it to the center, or change its aspect ratio. */
export type ImageFit = (typeof imageFits)[number];

export const labelKinds = ['fine', 'coarse'] as const;
/** Which of CIFAR-100's two labels to use: 100 fine classes, or 20 coarse ones. */
export type LabelKind = (typeof labelKinds)[number];

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

// The manifest of a packed dataset: what its files contain, their hashes, and how the images were imported.
import { z } from 'zod';
import {
  maxClasses,
  maxImageSize,
  recordBytesOf,
  type DatasetDescription,
  type StoredDataset,
} from '../../shared/dataset/description.js';
import { badData, fileSize, readFileBytes } from '../file-bytes.js';
import { imageFits } from '../../shared/dataset/description.js';
import path from 'node:path';

export const manifestFile = 'manifest.json';
const format = 'lockstep-dataset';
const formatVersion = 1;
/** A manifest of 65,535 classes and as many skipped files is smaller. */
const maxManifestBytes = 64 * 2 ** 20;

export const splitNames = ['training', 'validation', 'test'] as const;
export type SplitName = (typeof splitNames)[number];

/** Returns the name of the file with a split's records. */
export function splitFile(split: SplitName): string {
  return `${split}.bin`;
}

const count = z.int().nonnegative();
const side = z.int().min(1).max(maxImageSize);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const shortText = z.string().min(1).max(1024);

const description = z.strictObject({
  name: shortText,
  height: side,
  width: side,
  channels: z.union([z.literal(1), z.literal(3)]),
  classNames: z.array(shortText).min(1).max(maxClasses),
  fit: z.enum(imageFits).nullable(),
  flippable: z.boolean().optional(),
}) satisfies z.ZodType<DatasetDescription>;

const splitSchema = z.strictObject({ records: z.int().positive(), sha256, perClass: z.array(count) });

/** How an image folder was imported. */
const importSchema = z.strictObject({
  /** Folder of the images, as an absolute path. */
  folder: z.string(),
  imageSize: side,
  fit: z.enum(imageFits),
  /** Version of the rules by which images are decoded and resized. */
  rules: count,
  /** Interpolation of the resized images. */
  kernel: z.string(),
  /** Versions of the decoder's libraries. */
  decoder: z.string(),
  files: count,
  /** SHA-256 of the list of source files: their paths, sizes and times of modification. */
  sourcesSha256: sha256,
  skipped: z.array(z.strictObject({ file: z.string(), reason: z.string() })),
  emptyClasses: z.array(z.string()),
  /** Folders and files that are not part of the layout. */
  ignored: z.array(z.string()),
  /** Images of the validation and test splits that are also in another split. */
  duplicates: z.strictObject({ images: count, examples: z.array(z.tuple([z.string(), z.string()])) }),
});
export type ImportRecord = z.infer<typeof importSchema>;

const manifestSchema = z.strictObject({
  format: z.literal(format),
  version: z.literal(formatVersion),
  description,
  splits: z.strictObject({
    training: splitSchema,
    validation: splitSchema.nullable(),
    test: splitSchema.nullable(),
  }),
  source: z.string(),
  import: importSchema.nullable(),
});
export type Manifest = z.infer<typeof manifestSchema>;
export type SplitSummary = z.infer<typeof splitSchema>;

export function manifestOf(
  dataset: Pick<StoredDataset, 'description' | 'source'>,
  splits: Manifest['splits'],
  imported: ImportRecord | null,
): Manifest {
  const { description: described, source } = dataset;
  return {
    format,
    version: formatVersion,
    description: { ...described, classNames: [...described.classNames] },
    splits,
    source,
    import: imported,
  };
}

/**
 * Returns a folder's manifest, or undefined if the folder has none or if the file belongs to another program. Throws
 * `bad-data` for a manifest that is damaged or was written by a newer version.
 */
export async function readManifest(folder: string): Promise<Manifest | undefined> {
  const file = path.join(folder, manifestFile);
  const bytes = await fileSize(file);
  if (bytes === undefined) return undefined;
  if (bytes > maxManifestBytes) throw badData(`${file} has ${bytes} bytes: a manifest has at most ${maxManifestBytes}`);
  const text = Buffer.from(await readFileBytes(file, 'Check the permissions of the file.')).toString('utf8');
  return parseManifest(text, file);
}

/** Like readManifest, for the text of a manifest. @param file its name, for error messages */
export function parseManifest(text: string, file: string): Manifest | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    if (!text.includes(format)) return undefined;
    throw badData(`${file} is damaged: it is not valid JSON. Import the dataset again`);
  }
  const header = z.looseObject({ format: z.literal(format), version: z.unknown() }).safeParse(value);
  if (!header.success) return undefined;
  if (header.data.version !== formatVersion) {
    throw badData(
      `${file} has the version ${JSON.stringify(header.data.version)}; this version of Lockstep reads version ` +
        `${formatVersion}. Import the dataset again, or update Lockstep`,
    );
  }
  const parsed = manifestSchema.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw badData(`${file} is damaged: ${issue.path.join('.')}: ${issue.message}. Import the dataset again`);
  }
  checkCounts(parsed.data, file);
  return parsed.data;
}

function checkCounts({ description: described, splits }: Manifest, file: string): void {
  for (const split of splitNames) {
    const summary = splits[split];
    if (summary === null) continue;
    const { records, perClass } = summary;
    const sum = perClass.reduce((total, images) => total + images, 0);
    if (perClass.length === described.classNames.length && sum === records) continue;
    throw badData(
      `${file} is damaged: splits.${split}.perClass has ${perClass.length} classes and ${sum} images, expected ` +
        `${described.classNames.length} and ${records}. Import the dataset again`,
    );
  }
}

/** Returns the size of a split's file in bytes. */
export function splitBytes(manifest: Manifest, split: SplitName): number {
  return (manifest.splits[split]?.records ?? 0) * recordBytesOf(manifest.description);
}

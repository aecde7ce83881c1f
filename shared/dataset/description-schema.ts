// Validates descriptions of datasets, from messages, checkpoints and callers of the library, and the records that come
// with them.
import * as z from 'zod';
import { LockstepError } from '../errors.js';
import { maxClasses, maxImageSize, type DatasetDescription, type StoredDataset } from './description.js';
import { firstInvalidLabel, labelAt, recordFormatOf } from './record-format.js';

const maxNameLength = 200;
/**
 * Maximum size of the names of all classes together, in UTF-8 bytes: half of a message's header, which also lists the
 * shards. 65,535 classes can have names of 8 bytes.
 */
const maxClassNamesBytes = 1 << 19;

const size = z.int().min(1).max(maxImageSize);
const name = z.string().min(1).max(maxNameLength);

export const datasetDescription: z.ZodType<DatasetDescription, DatasetDescription> = z.strictObject({
  name,
  height: size,
  width: size,
  channels: z.literal([1, 3]),
  classNames: z
    .array(name)
    .min(1)
    .max(maxClasses)
    .refine(
      (names) => names.reduce((bytes, each) => bytes + new TextEncoder().encode(each).length, 0) <= maxClassNamesBytes,
      `expected class names of at most ${maxClassNamesBytes} bytes in total`,
    ),
  fit: z.enum(['crop', 'squeeze']).nullable(),
  flippable: z.boolean().optional(),
});

/**
 * Throws `bad-data` if the description is invalid, or if the records or their labels do not fit it. The labels of records
 * in files have been checked by the reader that opened them.
 */
export function assertDataset({ description, source, ...splits }: StoredDataset): void {
  const parsed = datasetDescription.safeParse(description);
  if (!parsed.success) {
    const [{ path, message }] = parsed.error.issues;
    throw new LockstepError('bad-data', `the description of ${source} is invalid: ${path.join('.')}: ${message}`);
  }
  const format = recordFormatOf(description);
  for (const split of ['training', 'validation', 'test'] as const) {
    const records = splits[split];
    if (records === null) continue;
    if (records.length % format.recordBytes !== 0) {
      throw new LockstepError(
        'bad-data',
        `the ${split} images of ${source} have ${records.length} bytes, which is not a multiple of the record size of ` +
          `${format.recordBytes} bytes`,
      );
    }
    if (!(records instanceof Uint8Array)) continue;
    const invalid = firstInvalidLabel(records, format);
    if (invalid === undefined) continue;
    throw new LockstepError(
      'bad-data',
      `${split} image ${invalid} of ${source} has the label ${labelAt(records, invalid, format)}, but there are only ` +
        `${format.classCount} classes`,
    );
  }
}

/**
 * Returns how a dataset differs from the one that a model was trained on, for messages, or undefined if
 * images and classes have the same form. Names of datasets do not matter: their records decide whether they are the same.
 */
export function differenceBetween(actual: DatasetDescription, expected: DatasetDescription): string | undefined {
  const shapeOf = ({ width, height, channels }: DatasetDescription) =>
    `${width}×${height} pixels and ${channels === 1 ? '1 channel' : `${channels} channels`}`;
  if (shapeOf(actual) !== shapeOf(expected)) return `images of ${shapeOf(actual)} instead of ${shapeOf(expected)}`;
  const [names, expectedNames] = [actual.classNames, expected.classNames];
  if (names.length !== expectedNames.length) {
    return `${names.length} ${names.length === 1 ? 'class' : 'classes'} instead of ${expectedNames.length}`;
  }
  const renamed = names.findIndex((each, label) => each !== expectedNames[label]);
  if (renamed >= 0) return `class ${renamed} is ${names[renamed]} instead of ${expectedNames[renamed]}`;
  if (actual.fit === expected.fit) return undefined;
  const fitOf = ({ fit }: DatasetDescription) => (fit === null ? 'not resized' : `resized with \`fit\` ${fit}`);
  return `images that were ${fitOf(actual)} instead of ${fitOf(expected)}`;
}

// The run's images as shards: a training shard for each slice, and evaluation shards of a fixed size for validation and
// test.
import { createHash } from 'node:crypto';
import { assertDataset } from '../../shared/dataset/description-schema.js';
import type { DatasetDescription, StoredDataset } from '../../shared/dataset/description.js';
import {
  partitionIntoShards,
  gatherRecords,
  shardSizeOf,
  spreadValidation,
  stepsPerEpochOf,
  validationCountOf,
} from '../../shared/dataset/partition.js';
import type { Preprocessing } from '../../shared/dataset/image-batch.js';
import { bytesOf, chunksOf, GatheredRecords, partOf, type Records } from '../../shared/dataset/records.js';
import { labelAt, recordFormatOf, type RecordFormat } from '../../shared/dataset/record-format.js';
import { LockstepError } from '../../shared/errors.js';
import type { Config } from '../../shared/config/config.js';
import { maxShardBytes, maxShardsBytes, type Shard, type Split } from '../../shared/protocol/messages.js';
import { measurePreprocessing } from './measure-preprocessing.js';

/** Maximum of the option `slices`. */
const maxSlices = 4096;
/** Maximum number of images in an evaluation shard, and of pixels, which limits the memory of an evaluation. */
const maxEvaluationImages = 250;
const maxEvaluationPixels = 1 << 20;

/**
 * Returns the number of images in an evaluation shard; the last shard of a split may have fewer. The last digits of the
 * loss depend on this number, because an engine adds up the losses of a whole shard.
 */
export function evaluationShardImages({ height, width }: Pick<RecordFormat, 'height' | 'width'>): number {
  return Math.min(maxEvaluationImages, Math.floor(maxEvaluationPixels / (height * width)));
}

export interface ShardStore {
  /** The training shards in slice order, then the validation shards, then the test shards. */
  shards: readonly Shard[];
  /** Records of each shard, by the shard's SHA-256. */
  records: ReadonlyMap<string, Records>;
  /** Labels of the images in the evaluation shards, in order. */
  labels: Readonly<Record<EvaluationSplit, Uint16Array>>;
  trainingCount: number;
  validationCount: number;
  testCount: number;
  stepsPerEpoch: number;
  preprocessing: Preprocessing;
  /** What the images are. */
  dataset: DatasetDescription;
}

/** A split used for evaluation. */
export type EvaluationSplit = Exclude<Split, 'training'>;

class ShardBuilder {
  readonly shards: Shard[] = [];
  readonly records = new Map<string, Records>();
  readonly #format: RecordFormat;

  constructor(format: RecordFormat) {
    this.#format = format;
  }

  async add(split: Split, index: number, records: Records): Promise<void> {
    const hash = createHash('sha256');
    for await (const chunk of chunksOf(records, this.#format.recordBytes)) hash.update(chunk);
    const sha256 = hash.digest('hex');
    this.shards.push({ split, index, sha256, bytes: records.length });
    this.records.set(sha256, records);
  }

  async addEvaluation(split: EvaluationSplit, records: Records): Promise<void> {
    const shardBytes = evaluationShardImages(this.#format) * this.#format.recordBytes;
    for (let first = 0; first < records.length; first += shardBytes) {
      await this.add(split, first / shardBytes, partOf(records, first, first + shardBytes));
    }
  }
}

/**
 * Returns the records of each split. Without validation images, as in Keras, these are the first of the training images.
 * If the images are sorted by class, like those of an image folder, they are spread evenly over the images instead, which
 * takes the same share of each class.
 */
async function splitRecords(dataset: StoredDataset, { validationSplit }: Pick<Config, 'validationSplit'>) {
  const { training, validation } = dataset;
  const test = dataset.test ?? new Uint8Array();
  if (validation !== null) return { training, validation, test };
  const format = recordFormatOf(dataset.description);
  const { recordBytes } = format;
  const count = training.length / recordBytes;
  const validationCount = validationCountOf(count, validationSplit);
  if (validationCount > 0 && (await isSortedByClass(training, format))) {
    const spread = spreadValidation(count, validationCount);
    return {
      training: recordsAt(training, spread.training, recordBytes),
      validation: recordsAt(training, spread.validation, recordBytes),
      test,
    };
  }
  const firstTraining = validationCount * recordBytes;
  return {
    training: partOf(training, firstTraining, training.length),
    validation: partOf(training, 0, firstTraining),
    test,
  };
}

/** Returns whether no label is followed by a smaller one. Images in random order are recognized by the first few. */
async function isSortedByClass(records: Records, format: RecordFormat): Promise<boolean> {
  let previous = 0;
  for (let begin = 0; begin < records.length; begin += format.recordBytes) {
    const label = labelAt(await bytesOf(records, begin, begin + format.labelBytes), 0, format);
    if (label < previous) return false;
    previous = label;
  }
  return true;
}

function recordsAt(records: Records, indices: Uint32Array, recordBytes: number): Records {
  return records instanceof Uint8Array
    ? gatherRecords(records, indices, recordBytes)
    : new GatheredRecords(records, indices, recordBytes);
}

/** Returns the records of the first training images, without the validation images. */
export async function firstTrainingRecords(
  dataset: StoredDataset,
  config: Pick<Config, 'validationSplit'>,
  count: number,
): Promise<Uint8Array> {
  const { training } = await splitRecords(dataset, config);
  return bytesOf(training, 0, Math.min(training.length, count * recordFormatOf(dataset.description).recordBytes));
}

/**
 * Creates the evaluation shards of one split, and returns the labels of its images. Throws the errors of assertDataset.
 */
export async function splitEvaluation(
  dataset: StoredDataset,
  config: Pick<Config, 'validationSplit'>,
  split: EvaluationSplit,
): Promise<Pick<ShardStore, 'shards' | 'records'> & { labels: Uint16Array }> {
  assertDataset(dataset);
  const images = (await splitRecords(dataset, config))[split];
  const format = recordFormatOf(dataset.description);
  const builder = new ShardBuilder(format);
  await builder.addEvaluation(split, images);
  return { shards: builder.shards, records: builder.records, labels: await labelsOf(images, format) };
}

/**
 * Creates the shards of a run. Throws the errors of assertDataset, `bad-config` if a global batch is larger than the
 * training set or if the images are too small for the padding, and the errors of assertShardsFit.
 */
export async function createShards(dataset: StoredDataset, config: Config): Promise<ShardStore> {
  assertDataset(dataset);
  const format = recordFormatOf(dataset.description);
  const { recordBytes } = format;
  const { training, validation, test } = await splitRecords(dataset, config);
  const trainingCount = training.length / recordBytes;
  const stepsPerEpoch = stepsPerEpochOf(trainingCount, config.batchSize);
  if (stepsPerEpoch < 1) {
    throw new LockstepError(
      'bad-config',
      `\`batchSize\` is ${config.batchSize}: it must be at most ${trainingCount}, the number of training images in ` +
        dataset.source,
    );
  }
  assertShardsFit(training.length + validation.length + test.length, trainingCount, recordBytes, config);
  assertPaddingFits(config, format);
  const builder = new ShardBuilder(format);
  for (const [slice, indices] of partitionIntoShards(trainingCount, config.slices, config.seed).entries()) {
    await builder.add('training', slice, recordsAt(training, indices, recordBytes));
  }
  await builder.addEvaluation('validation', validation);
  await builder.addEvaluation('test', test);
  return {
    shards: builder.shards,
    records: builder.records,
    labels: { validation: await labelsOf(validation, format), test: await labelsOf(test, format) },
    trainingCount,
    validationCount: validation.length / recordBytes,
    testCount: test.length / recordBytes,
    stepsPerEpoch,
    preprocessing: await measurePreprocessing(config.preprocessing, training, format, config),
    dataset: dataset.description,
  };
}

async function labelsOf(records: Records, format: RecordFormat): Promise<Uint16Array> {
  const labels = new Uint16Array(records.length / format.recordBytes);
  let image = 0;
  for await (const chunk of chunksOf(records, format.recordBytes)) {
    for (let i = 0; i < chunk.length / format.recordBytes; i++) labels[image++] = labelAt(chunk, i, format);
  }
  return labels;
}

/** Throws `bad-config` if images are too small for reflected padding, which shows each of their pixels at most once. */
function assertPaddingFits(
  { cropPadding, cropMargin }: Pick<Config, 'cropPadding' | 'cropMargin'>,
  { height, width }: RecordFormat,
): void {
  const size = Math.min(height, width);
  if (cropPadding === 'zeros' || cropMargin < size) return;
  throw new LockstepError(
    'bad-config',
    `\`cropMargin\` is ${cropMargin}: with \`cropPadding\` reflect, it must be less than ${size}, the size of the images`,
  );
}

/**
 * Throws `bad-config` if a training shard is too large for a worker, naming the smallest number of slices that fits, and
 * `bad-data` if all shards together are.
 */
export function assertShardsFit(
  totalBytes: number,
  trainingCount: number,
  recordBytes: number,
  { slices, batchSize }: Pick<Config, 'slices' | 'batchSize'>,
): void {
  const gibibytes = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  if (totalBytes > maxShardsBytes) {
    throw new LockstepError(
      'bad-data',
      `the images take ${gibibytes(totalBytes)}, but workers accept at most ${gibibytes(maxShardsBytes)}: use fewer or ` +
        'smaller images',
    );
  }
  const shardBytesWith = (count: number) => shardSizeOf(trainingCount, count, 0) * recordBytes;
  if (shardBytesWith(slices) <= maxShardBytes) return;
  const fits = (count: number) => batchSize % count === 0 && shardBytesWith(count) <= maxShardBytes;
  const smallest = Array.from({ length: Math.min(batchSize, maxSlices) }, (_, index) => index + 1).find(fits);
  throw new LockstepError(
    'bad-config',
    `\`slices\` is ${slices}: a shard of the training images would take ${gibibytes(shardBytesWith(slices))}, but workers ` +
      `accept at most ${gibibytes(maxShardBytes)}; ` +
      (smallest === undefined ? 'use a larger `batchSize` and more slices' : `use at least ${smallest} slices`),
  );
}

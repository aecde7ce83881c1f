// The run's images as shards: a training shard for each slice, and evaluation shards of a fixed size for validation and
// test.
import { createHash } from 'node:crypto';
import type { Cifar10 } from '../../shared/dataset/cifar10.js';
import {
  partitionIntoShards,
  gatherRecords,
  stepsPerEpochOf,
  validationCountOf,
} from '../../shared/dataset/partition.js';
import { recordBytes, type Preprocessing } from '../../shared/dataset/image-batch.js';
import { LockstepError } from '../../shared/errors.js';
import type { Config } from '../../shared/config/config.js';
import type { Shard, Split } from '../../shared/protocol/messages.js';
import { measurePreprocessing } from './measure-preprocessing.js';

/**
 * Number of images in an evaluation shard; the last shard of a split may have fewer. The last digits of the loss depend
 * on this number, because an engine adds up the losses of a whole shard.
 */
export const evaluationShardImages = 250;

export interface ShardStore {
  /** The training shards in slice order, then the validation shards, then the test shards. */
  shards: readonly Shard[];
  /** Records of each shard, by the shard's SHA-256. */
  records: ReadonlyMap<string, Uint8Array>;
  trainingCount: number;
  validationCount: number;
  testCount: number;
  stepsPerEpoch: number;
  preprocessing: Preprocessing;
  /** Names of the ten classes, in label order. */
  classNames: readonly string[];
}

/** A split used for evaluation. */
export type EvaluationSplit = Exclude<Split, 'training'>;

class ShardBuilder {
  readonly shards: Shard[] = [];
  readonly records = new Map<string, Uint8Array>();

  add(split: Split, index: number, records: Uint8Array): void {
    const sha256 = createHash('sha256').update(records).digest('hex');
    this.shards.push({ split, index, sha256, bytes: records.length });
    this.records.set(sha256, records);
  }

  addEvaluation(split: EvaluationSplit, records: Uint8Array): void {
    const shardBytes = evaluationShardImages * recordBytes;
    for (let first = 0; first < records.length; first += shardBytes) {
      this.add(split, first / shardBytes, records.subarray(first, first + shardBytes));
    }
  }
}

/** Returns the records of each split. As in Keras, the validation images are the first of the training images. */
function splitRecords({ training, test }: Cifar10, { validationSplit }: Pick<Config, 'validationSplit'>) {
  const firstTraining = validationCountOf(training.length / recordBytes, validationSplit) * recordBytes;
  return { training: training.subarray(firstTraining), validation: training.subarray(0, firstTraining), test };
}

/** Creates the evaluation shards of one split. The returned `images` contain the records of the whole split. */
export function splitEvaluation(
  dataset: Cifar10,
  config: Pick<Config, 'validationSplit'>,
  split: EvaluationSplit,
): Pick<ShardStore, 'shards' | 'records'> & { images: Uint8Array } {
  const images = splitRecords(dataset, config)[split];
  const builder = new ShardBuilder();
  builder.addEvaluation(split, images);
  return { shards: builder.shards, records: builder.records, images };
}

/** Creates the shards of a run. Throws `bad-config` if a global batch is larger than the training set. */
export function createShards(dataset: Cifar10, config: Config): ShardStore {
  const { training, validation, test } = splitRecords(dataset, config);
  const trainingCount = training.length / recordBytes;
  const stepsPerEpoch = stepsPerEpochOf(trainingCount, config.batchSize);
  if (stepsPerEpoch < 1) {
    throw new LockstepError(
      'bad-config',
      `\`batchSize\` is ${config.batchSize}: it must be at most ${trainingCount}, the number of training images in ` +
        dataset.source,
    );
  }
  const builder = new ShardBuilder();
  for (const [slice, indices] of partitionIntoShards(trainingCount, config.slices, config.seed).entries()) {
    builder.add('training', slice, gatherRecords(training, indices));
  }
  builder.addEvaluation('validation', validation);
  builder.addEvaluation('test', test);
  return {
    shards: builder.shards,
    records: builder.records,
    trainingCount,
    validationCount: validation.length / recordBytes,
    testCount: test.length / recordBytes,
    stepsPerEpoch,
    preprocessing: measurePreprocessing(config.preprocessing, training),
    classNames: dataset.classNames,
  };
}

// The run's images cut into what travels: a shard per slice, and the validation and test sets in parts of fixed size.
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

/** Images in a part of an evaluation split. Part of the result: an engine adds up the losses of a part by itself. */
export const evaluationShardImages = 250;

export interface ShardStore {
  /** Every shard: the shards in slice order, then the parts of the validation and the test split. */
  shards: readonly Shard[];
  /** A shard's records by its hash. */
  records: ReadonlyMap<string, Uint8Array>;
  trainingCount: number;
  validationCount: number;
  testCount: number;
  stepsPerEpoch: number;
  preprocessing: Preprocessing;
  /** Ten names, in the order of the labels. */
  classNames: readonly string[];
}

/** A split that is evaluated. */
export type EvaluationSplit = Exclude<Split, 'training'>;

/** Shards as they are cut. */
class ShardList {
  readonly shards: Shard[] = [];
  readonly records = new Map<string, Uint8Array>();

  add(split: Split, index: number, bytes: Uint8Array): void {
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    this.shards.push({ split, index, sha256, bytes: bytes.length });
    this.records.set(sha256, bytes);
  }

  addParts(split: EvaluationSplit, bytes: Uint8Array): void {
    const partBytes = evaluationShardImages * recordBytes;
    for (let first = 0; first < bytes.length; first += partBytes) {
      this.add(split, first / partBytes, bytes.subarray(first, first + partBytes));
    }
  }
}

/** The images that train, and those that are evaluated on. */
function splitsOf(dataset: Cifar10, { validationSplit }: Pick<Config, 'validationSplit'>) {
  const imageCount = dataset.training.length / recordBytes;
  const validationCount = validationCountOf(imageCount, validationSplit);
  return {
    training: dataset.training.subarray(validationCount * recordBytes),
    validation: dataset.training.subarray(0, validationCount * recordBytes),
    test: dataset.test,
    validationCount,
    trainingCount: imageCount - validationCount,
  };
}

/** The parts of one split, with their records one after the other. */
export function splitEvaluation(
  dataset: Cifar10,
  config: Pick<Config, 'validationSplit'>,
  split: EvaluationSplit,
): Pick<ShardStore, 'shards' | 'records'> & { images: Uint8Array } {
  const images = splitsOf(dataset, config)[split];
  const stack = new ShardList();
  stack.addParts(split, images);
  return { shards: stack.shards, records: stack.records, images };
}

/** Throws `bad-config` where there are fewer training images than one global batch holds. */
export function createShards(dataset: Cifar10, config: Config): ShardStore {
  const { training, validation, test, trainingCount, validationCount } = splitsOf(dataset, config);
  const stepsPerEpoch = stepsPerEpochOf(trainingCount, config.batchSize);
  if (stepsPerEpoch < 1) {
    throw new LockstepError(
      'bad-config',
      `batchSize is ${config.batchSize}: it must be at most the number of training images, ` +
        `which is ${trainingCount} in ${dataset.source}`,
    );
  }
  const stack = new ShardList();
  partitionIntoShards(trainingCount, config.slices, config.seed).forEach((shard, slice) =>
    stack.add('training', slice, gatherRecords(training, shard)),
  );
  stack.addParts('validation', validation);
  stack.addParts('test', test);
  const testCount = test.length / recordBytes;
  const preprocessing = measurePreprocessing(config.preprocessing, training);
  const { shards, records } = stack;
  return {
    shards,
    records,
    trainingCount,
    validationCount,
    testCount,
    stepsPerEpoch,
    preprocessing,
    classNames: dataset.classNames,
  };
}

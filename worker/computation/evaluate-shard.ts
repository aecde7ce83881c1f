// Evaluates a shard: loss, correct predictions, and the predicted class of each image.
import { augmentationsOf } from '../../shared/dataset/partition.js';
import { recordBytes } from '../../shared/dataset/image-batch.js';
import { classCount } from '../../shared/network/layout.js';
import { noClass, type EvaluateMessage, type EvaluationMessage } from '../../shared/protocol/messages.js';
import type { EngineModel } from '../engine.js';
import type { ReadShard, Run } from './slice-images.js';

/**
 * Evaluates all images in a shard, in order, and returns the reply to the request. Images are augmented only for
 * validation, and only if `augmentValidation` is set.
 */
export async function evaluateShard(
  { config }: Pick<Run, 'config'>,
  model: EngineModel,
  readShard: ReadShard,
  { step, split, index }: EvaluateMessage,
): Promise<[message: EvaluationMessage, predicted: Uint8Array]> {
  const { seed, augmentValidation, cropPadding } = config;
  const records = await readShard(split, index);
  const count = records.length / recordBytes;
  const indices = Uint32Array.from({ length: count }, (_, image) => image);
  const augment = split === 'validation' && augmentValidation;
  const key = { purpose: 'validationAugmentation', seed, step, slice: index, count, augment, cropPadding } as const;
  const result = await model.evaluate({ records, indices, augmentations: augmentationsOf(key) });
  const { sampleCount, lossSum, correctCount, logits } = result;
  return [{ type: 'evaluation', step, split, index, sampleCount, lossSum, correctCount }, classesOf(logits)];
}

/**
 * Returns the predicted class of each image: the class with the largest logit, or the first such class if there are
 * several. Returns noClass for an image whose logits are all NaN.
 */
export function classesOf(logits: Float32Array): Uint8Array {
  return Uint8Array.from({ length: logits.length / classCount }, (_, image) => {
    let best = noClass;
    let largest = Number.NaN;
    for (let label = 0; label < classCount; label++) {
      const logit = logits[image * classCount + label];
      if (Number.isNaN(logit) || logit <= largest) continue;
      best = label;
      largest = logit;
    }
    return best;
  });
}

// Evaluates a shard: loss, correct predictions, and the predicted class of each image.
import { augmentationsOf, flipsImages } from '../../shared/dataset/partition.js';
import { recordFormatOf, labelAt } from '../../shared/dataset/record-format.js';
import type { EvaluateMessage, EvaluationMessage } from '../../shared/protocol/messages.js';
import { encodePredictions, noClass } from '../../shared/protocol/predictions.js';
import type { EngineModel } from '../engine.js';
import { readAll } from '../shards/shard-records.js';
import { evaluateViews } from './evaluate-views.js';
import { PixelAugmenter } from './pixel-augmenter.js';
import type { ReadShard, Run } from './slice-images.js';

/**
 * Evaluates all images in a shard, in order, and returns the reply to the request. Images are augmented only for
 * validation, and only if `augmentValidation` is set.
 */
export async function evaluateShard(
  { config, dataset, preprocessing }: Omit<Run, 'stepsPerEpoch'>,
  model: EngineModel,
  readShard: ReadShard,
  { step, split, index }: EvaluateMessage,
): Promise<[message: EvaluationMessage, predicted: Uint8Array]> {
  const { seed, augmentValidation, cropPadding, cropMargin: margin } = config;
  const { records, indices } = await readAll(await readShard(split, index));
  const format = recordFormatOf(dataset);
  const count = indices.length;
  const augment = split === 'validation' && augmentValidation;
  const flipped = flipsImages(config, dataset) ? undefined : Array<boolean>(count).fill(false);
  const key = { seed, step, slice: index, count, augment, cropPadding, margin, flipped };
  const augmentations = augmentationsOf({ ...key, purpose: 'validationAugmentation' });
  const plain = { records, format, indices, augmentations };
  const augmenter = new PixelAugmenter({ ...config, augment }, format, preprocessing);
  const purpose = 'validationPixelAugmentation';
  const batch = augmenter.isActive ? augmenter.apply(plain, { purpose, step, slice: index }) : plain;
  const result = await evaluateViews(model, batch, config.testTimeAugmentation);
  const { sampleCount, lossSum, correctCount, logits } = result;
  const { classCount } = format;
  const topFiveCount = indices.filter((image) =>
    isAmongLargest(logits.subarray(image * classCount, (image + 1) * classCount), labelAt(records, image, format)),
  ).length;
  return [
    { type: 'evaluation', step, split, index, sampleCount, lossSum, correctCount, topFiveCount },
    encodePredictions(classesOf(logits, classCount), classCount),
  ];
}

/** Returns whether a label is among the five classes with the largest logits; the first ones of equal logits. */
export function isAmongLargest(logits: Float32Array, label: number): boolean {
  const own = logits[label];
  if (Number.isNaN(own)) return false;
  let before = 0;
  for (let other = 0; other < logits.length; other++) {
    if (logits[other] > own || (logits[other] === own && other < label)) before++;
  }
  return before < 5;
}

/**
 * Returns the predicted class of each image: the class with the largest logit, or the first such class if there are
 * several. Returns noClass for an image whose logits are all NaN.
 */
export function classesOf(logits: Float32Array, classCount: number): Uint16Array {
  return Uint16Array.from({ length: logits.length / classCount }, (_, image) => {
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

// Evaluates images with test-time augmentation: averages their logits over several views.
import type { ImageBatch } from '../../shared/dataset/image-batch.js';
import { viewsOf, type TestTimeAugmentation } from '../../shared/dataset/test-time-augmentation.js';
import type { EngineModel, EvaluationResult } from '../engine.js';
import { labelsOf } from '../augmentation.js';

/**
 * Evaluates each image as it is in the batch or, with test-time augmentation, as several views of the original. The
 * average of the logits is computed in float64 and rounded once. The loss and the correct predictions are those of the
 * average.
 */
export async function evaluateViews(
  model: EngineModel,
  batch: ImageBatch,
  testTimeAugmentation: TestTimeAugmentation,
): Promise<EvaluationResult> {
  const views = viewsOf(testTimeAugmentation);
  if (views.length === 0) return model.evaluate(batch);
  const sampleCount = batch.indices.length;
  const average = new Float64Array(sampleCount * batch.format.classCount);
  const times = { augmentMs: 0, computeMs: 0 };
  for (const { augmentation, weight } of views) {
    const augmentations = new Uint16Array(sampleCount).fill(augmentation);
    const { logits, augmentMs, computeMs } = await model.evaluate({ ...batch, augmentations });
    for (let i = 0; i < average.length; i++) average[i] += weight * logits[i];
    times.augmentMs += augmentMs;
    times.computeMs += computeMs;
  }
  const logits = Float32Array.from(average);
  return { sampleCount, ...times, ...scoresOf(logits, labelsOf(batch)), logits };
}

/** Returns the sum of the softmax cross-entropies, and how many labels have the largest logit, the first of equal ones. */
function scoresOf(logits: Float32Array, labels: Int32Array): { lossSum: number; correctCount: number } {
  const classCount = logits.length / labels.length;
  let lossSum = 0;
  let correctCount = 0;
  for (const [image, label] of labels.entries()) {
    const own = logits.subarray(image * classCount, (image + 1) * classCount);
    const largest = own.reduce((max, logit) => Math.max(max, logit), -Infinity);
    let sum = 0;
    for (const logit of own) sum += Math.exp(logit - largest);
    lossSum += Math.log(sum) - (own[label] - largest);
    if (own.indexOf(largest) === label) correctCount++;
  }
  return { lossSum, correctCount };
}

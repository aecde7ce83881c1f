// Everything that a model computes from some batches. Does not depend on Node, so that it also runs in a page.
import type { ImageBatch } from '../../../../shared/dataset/image-batch.js';
import type { ModelLayout } from '../../../../shared/network/layout.js';
import type { ResnetOptions } from '../../../../shared/network/networks/resnet.js';
import type { EngineModel } from '../../../../worker/engine.js';
import { randomMovingStatistics, randomWeights } from './samples.js';

/** The model and number of images whose results golden-bits.ts holds the hashes of. */
export const resNet20 = {
  depth: 20,
  initialFilters: 16,
  shortcut: 'projection',
  convBias: true,
} as const satisfies Partial<ResnetOptions>;
export const resNet20Images = 9;

/** Returns the gradient, the batch statistics and the losses of each batch. */
export async function computeBatches(
  model: EngineModel,
  layout: ModelLayout,
  batches: readonly ImageBatch[],
): Promise<Float32Array[][]> {
  const results: Float32Array[][] = [];
  for (const [index, batch] of batches.entries()) {
    model.setWeights(randomWeights(layout, index), randomMovingStatistics(layout));
    const { lossSum, correctCount, gradientSum, batchStatistics } = await model.computeSlice(batch);
    const evaluated = await model.evaluate(batch);
    const losses = Float32Array.of(lossSum, correctCount, evaluated.lossSum);
    results.push([gradientSum.slice(), batchStatistics.slice(), losses]);
  }
  return results;
}

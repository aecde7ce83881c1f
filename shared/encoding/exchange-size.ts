// Sizes of what travels in a step, without the headers of the messages. Pure.
import { PartialSumFormat, type GradientLayout } from './partial-sum.js';
import type { Encoding } from './encodings.js';

/** Returns the bytes of the weights for a worker that has those of the step before. */
export function weightsBytes(layout: GradientLayout, encoding: Encoding): number {
  const { weights, weightsSize, statisticsSize } = layout;
  if (encoding === 'float32') return 4 * (weightsSize + statisticsSize);
  // The scales of the difference and of the gradients, and one byte per weight.
  return 4 * (2 * weights.length + statisticsSize) + weightsSize;
}

/** Returns the bytes of a partial sum over a number of slices. A run's first step, which has no scales, is larger. */
export function gradientBytes(layout: GradientLayout, encoding: Encoding, sliceCount: number): number {
  return 4 * new PartialSumFormat(layout, encoding).payloadFloats(sliceCount);
}

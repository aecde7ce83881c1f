// Compares what a model computes with float64 loops, array by array.
import type { ImageBatch } from '../../../../shared/dataset/image-batch.js';
import type { ArrayLayout, ModelLayout } from '../../../../shared/network/layout.js';
import type { EngineModel } from '../../../../worker/engine.js';
import { referenceOfBatch } from '../../../support/reference-batch.js';

/** Difference of an array from the reference, relative to the largest value of the reference. */
export interface ArrayError {
  name: string;
  error: number;
}

/** Returns the arrays that are further from the reference than a bound. */
export async function errorsOf(
  model: EngineModel,
  layout: ModelLayout,
  weights: Float32Array,
  batch: ImageBatch,
  bound: number,
): Promise<ArrayError[]> {
  const labelSmoothing = 0.1;
  const { dropoutKey } = batch;
  model.setWeights(weights, new Float32Array(layout.statisticsSize));
  const slice = await model.computeSlice(batch);
  const { lossSum, gradientSum, batchStatistics } = slice;
  const results = { lossSum, gradientSum: gradientSum.slice(), batchStatistics: batchStatistics.slice() };
  const trained = referenceOfBatch(layout, weights, batch, {
    labelSmoothing,
    ...(dropoutKey === undefined ? {} : { dropoutKey }),
  });
  // Batch norm cancels the effect of a bias before it, so its gradient consists of rounding errors alone.
  const gradients = layout.weights.filter(({ offset, size }) => largestOf(trained.gradientSum, offset, size) > 1e-9);
  const own = (actual: Float32Array, expected: Float64Array, { name, offset, size }: ArrayLayout): ArrayError => ({
    name,
    error: relativeError(actual.subarray(offset, offset + size), expected.subarray(offset, offset + size)),
  });
  const errors = [
    { name: 'loss', error: relativeError([results.lossSum], [trained.lossSum]) },
    { name: 'correct', error: Math.abs(slice.correctCount - trained.correctCount) },
    ...layout.statistics.map((array) => own(results.batchStatistics, trained.batchStatistics, array)),
    ...gradients.map((array) => {
      const { name, error } = own(results.gradientSum, trained.gradientSum, array);
      // The few values of a small array may be sums that nearly cancel, so they are compared with the whole gradient.
      const largest = largestOf(trained.gradientSum, array.offset, array.size);
      return array.size > 17 ? { name, error } : { name, error: (error * largest) / largestOf(trained.gradientSum) };
    }),
  ];
  return errors.filter(({ error }) => !(error <= bound));
}

function largestOf(values: ArrayLike<number>, first = 0, count = values.length): number {
  let largest = 0;
  for (let i = first; i < first + count; i++) largest = Math.max(largest, Math.abs(values[i]));
  return largest;
}

export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let difference = 0;
  // Unlike Math.max, this keeps NaN.
  for (let i = 0; i < expected.length; i++) {
    const own = Math.abs(actual[i] - expected[i]);
    if (!(own <= difference)) difference = own;
  }
  return difference / largestOf(expected);
}

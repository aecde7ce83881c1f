// Detects NaN and infinity in workers' answers before they reach the weights, and describes where they were found in an
// answer, in the sum of all gradients, or in the updated weights.
import { LockstepError } from '../../shared/errors.js';
import type { ModelLayout } from '../../shared/network/layout.js';
import { firstNotFinite } from '../../shared/reduction/finite.js';
import { describeRange } from '../../shared/reduction/slices.js';
import { areFinite } from '../optimizer/finite.js';
import type { PartialSum } from './gradient-sum.js';

/**
 * Returns whether every value in a worker's answer is finite. The maxima show which values were not before they were
 * rounded to integers.
 */
export function isFinitePartialSum({ gradientSum, maxima, slices }: PartialSum): boolean {
  return (
    (!(gradientSum instanceof Float32Array) || areFinite(gradientSum)) &&
    areFinite(maxima) &&
    slices.every(({ lossSum, batchStatistics }) => Number.isFinite(lossSum) && areFinite(batchStatistics))
  );
}

/**
 * Returns a `diverged` error that names the worker, the step, and the first non-finite loss, gradient value and batch
 * statistic in the worker's answer. `step` is zero-based.
 */
export function notFinitePartialSum(
  worker: string,
  step: number,
  partial: PartialSum,
  layout: ModelLayout,
): LockstepError {
  const { range, slices } = partial;
  const found: string[] = [];
  const badLoss = slices.findIndex(({ lossSum }) => !Number.isFinite(lossSum));
  if (badLoss >= 0) found.push(`the loss of slice ${range.first + badLoss} is ${slices[badLoss].lossSum}`);
  const gradient = firstNotFiniteGradient(partial, layout);
  if (gradient !== undefined) {
    found.push(`the gradient of ${describeRange(range)} has ${gradient.value} in ${gradient.array}`);
  }
  for (const [index, { batchStatistics }] of slices.entries()) {
    const statistics = firstNotFinite(batchStatistics, layout.statistics);
    if (statistics === undefined) continue;
    found.push(`the batch statistics of slice ${range.first + index} have ${statistics.value} in ${statistics.array}`);
    break;
  }
  return new LockstepError(
    'diverged',
    `in step ${step + 1}, ${worker} sent values that are not finite: ${found.join(', ')}. Training has diverged or this ` +
      'worker is faulty; no value from this step reached the weights',
  );
}

function firstNotFiniteGradient({ gradientSum, maxima }: PartialSum, layout: ModelLayout) {
  if (gradientSum instanceof Float32Array) return firstNotFinite(gradientSum, layout.weights);
  const arrays = layout.weights.map(({ name, shape }, offset) => ({ name, shape, offset, size: 1 }));
  return firstNotFinite(maxima, arrays);
}

/** Returns a `diverged` error for finite partial sums whose sum exceeds the range of float32. `step` is zero-based. */
export function notFiniteSum(step: number, gradientSum: Float32Array, layout: ModelLayout): LockstepError {
  const first = firstNotFinite(gradientSum, layout.weights);
  return new LockstepError(
    'diverged',
    `in step ${step + 1}, the sum of all gradients is not finite (${first?.value} in ${first?.array}), although each ` +
      'partial sum was. Training has diverged; no value from this step reached the weights',
  );
}

/** Returns a `diverged` error for an update that exceeded the range of float32. `step` is zero-based. */
export function notFiniteWeights(step: number, weights: Float32Array, layout: ModelLayout): LockstepError {
  const first = firstNotFinite(weights, layout.weights);
  return new LockstepError(
    'diverged',
    `the update in step ${step + 1} produced a non-finite weight (${first?.value} in ${first?.array}): training has diverged`,
  );
}

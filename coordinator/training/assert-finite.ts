// NaN and infinity never reach the weights: every partial sum that counts is checked before the step's sum is used, and the
// first worker, slice and array that is not finite is named. Pure.
import { LockstepError } from '../../shared/errors.js';
import type { ModelLayout } from '../../shared/network/layout.js';
import { areFinite, firstNotFinite } from '../../shared/reduction/finite.js';
import { describeRange } from '../../shared/reduction/slices.js';
import type { PartialSum } from './gradient-sum.js';

/** Whether every value of a worker's answer is finite. */
export function isFinitePartialSum({ gradientSum, slices }: PartialSum): boolean {
  return (
    areFinite(gradientSum) &&
    slices.every(({ lossSum, batchStatistics }) => Number.isFinite(lossSum) && areFinite(batchStatistics))
  );
}

/** `diverged`, naming the worker, the step (from 0) and the first value of each kind that is not finite. */
export function notFinitePartialSum(
  worker: string,
  step: number,
  partial: PartialSum,
  layout: ModelLayout,
): LockstepError {
  const { range, gradientSum, slices } = partial;
  const found: string[] = [];
  const badLoss = slices.findIndex(({ lossSum }) => !Number.isFinite(lossSum));
  if (badLoss >= 0) found.push(`the loss of slice ${range.first + badLoss} is ${slices[badLoss].lossSum}`);
  const gradient = firstNotFinite(gradientSum, layout.trainable);
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
      'worker is faulty; no value of this step reached the weights',
  );
}

/** `diverged`: the sum of finite partial sums is too large for float32. Steps count from 0. */
export function notFiniteSum(step: number, gradientSum: Float32Array, layout: ModelLayout): LockstepError {
  const first = firstNotFinite(gradientSum, layout.trainable);
  return new LockstepError(
    'diverged',
    `in step ${step + 1}, the sum of all gradients is not finite (${first?.value} in ${first?.array}), although each ` +
      'partial sum was. Training has diverged; no value of this step reached the weights',
  );
}

/** `diverged`: the update left the range of float32. Steps count from 0. */
export function notFiniteWeights(step: number, weights: Float32Array, layout: ModelLayout): LockstepError {
  const first = firstNotFinite(weights, layout.trainable);
  return new LockstepError(
    'diverged',
    `the update of step ${step + 1} made a weight that is not finite (${first?.value} in ${first?.array}): training has diverged`,
  );
}

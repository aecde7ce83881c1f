// NaN and infinity never reach the weights: every answer that counts is looked over before a step's sum is used, and the
// first worker, slice and array with one are named. Pure.
import { LockstepError } from '../../shared/errors.js';
import { areFinite, firstNotFinite } from '../../shared/reduction/finite.js';
import type { ModelLayout } from '../../shared/network/layout.js';
import { describeRange } from '../../shared/reduction/slices.js';
import type { PartialSum } from './gradient-round.js';

/** Whether all that a worker sent for a range is numbers. */
export function isFiniteAnswer({ gradientSum, slices }: PartialSum): boolean {
  return (
    areFinite(gradientSum) &&
    slices.every(({ lossSum, batchStatistics }) => Number.isFinite(lossSum) && areFinite(batchStatistics))
  );
}

/** `diverged`, naming the worker, the step and the first array with a value that is no number. Steps count from 0. */
export function notFiniteAnswer(worker: string, step: number, partial: PartialSum, layout: ModelLayout): LockstepError {
  const { range, gradientSum, slices } = partial;
  const places: string[] = [];
  const badLoss = slices.findIndex(({ lossSum }) => !Number.isFinite(lossSum));
  if (badLoss >= 0) places.push(`the loss of slice ${range.first + badLoss} is ${slices[badLoss].lossSum}`);
  const gradient = firstNotFinite(gradientSum, layout.trainable);
  if (gradient !== undefined) {
    places.push(`the gradient of ${describeRange(range)} first in ${gradient.array} (${gradient.value})`);
  }
  for (const [index, { batchStatistics }] of slices.entries()) {
    const statistics = firstNotFinite(batchStatistics, layout.statistics);
    if (statistics === undefined) continue;
    places.push(
      `the batch statistics of slice ${range.first + index} first in ${statistics.array} (${statistics.value})`,
    );
    break;
  }
  return new LockstepError(
    'diverged',
    `in step ${step + 1} ${worker} sent what is no number: ${places.join(', ')}: the run has diverged or this worker is ` +
      'broken, and nothing of the step reached the weights',
  );
}

/** Sums of finite answers can still be too large for float32: `diverged`. Steps count from 0. */
export function notFiniteSum(step: number, gradientSum: Float32Array, layout: ModelLayout): LockstepError {
  const first = firstNotFinite(gradientSum, layout.trainable);
  return new LockstepError(
    'diverged',
    `in step ${step + 1} the sum over all workers is no number, first in ${first?.array} (${first?.value}), though what ` +
      'each one sent was: the run has diverged, and nothing of the step reached the weights',
  );
}

/** An update by a huge rate leaves float32's range though its gradient did not: `diverged`. Steps count from 0. */
export function notFiniteWeights(step: number, weights: Float32Array, layout: ModelLayout): LockstepError {
  const first = firstNotFinite(weights, layout.trainable);
  return new LockstepError(
    'diverged',
    `the update of step ${step + 1} made a weight that is no number, first in ${first?.array} (${first?.value}): the run has diverged`,
  );
}

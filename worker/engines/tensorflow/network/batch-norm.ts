// Batch norm with one TensorFlow operation for the forward pass and one for the backward pass. tfjs uses many
// operations, which together take twice as long.
import type { Tensor, Tensor1D, Tensor4D } from '@tensorflow/tfjs-core';
import { withGradient } from './differentiable.js';
import { runOperation, type TensorFlowRuntime } from '../runtime.js';

/** Batch-norm statistics, one value per channel. */
export interface ChannelStatistics {
  mean: Tensor1D;
  variance: Tensor1D;
}

export interface ScaleAndShift {
  gamma: Tensor1D;
  beta: Tensor1D;
}

const types = { T: { type: 'float32' }, U: { type: 'float32' } } as const;

/**
 * Normalizes each channel with the statistics of the batch. Differentiable with respect to x, gamma and beta.
 * @param report receives the statistics of the batch, with the variance as TensorFlow reports it: see
 *   biasedVarianceFactor. The receiver must dispose of the tensors, because tidy does not.
 */
export function normalizeByBatch(
  { tf, backend }: TensorFlowRuntime,
  x: Tensor4D,
  { gamma, beta }: ScaleAndShift,
  epsilon: number,
  report: (statistics: ChannelStatistics) => void,
): Tensor4D {
  const attributes = { ...types, epsilon: { float: epsilon }, is_training: { bool: true } };
  return withGradient(tf, [x, gamma, beta], (x, gamma, beta) => {
    const none = tf.tensor1d([]); // training does not read the moving statistics
    const [normalized, mean, variance, ...reserved] = runOperation(
      backend,
      'FusedBatchNormV3',
      attributes,
      [x, gamma, beta, none, none],
      6,
    ) as [Tensor4D, Tensor1D, Tensor1D, Tensor, Tensor, Tensor];
    report({ mean: tf.keep(mean), variance: tf.keep(variance) });
    return {
      value: normalized,
      saved: [x, gamma, ...reserved],
      gradientsOf: (upstream, saved) =>
        runOperation(backend, 'FusedBatchNormGradV3', attributes, [upstream, ...saved], 5).slice(0, 3),
    };
  });
}

/**
 * Returns the factor that converts the variance that TensorFlow reports, in which the sum of squares is divided by
 * max(1, count - 1), to the biased variance, with which TensorFlow normalizes and which Keras 3 averages.
 */
export function biasedVarianceFactor(count: number): number {
  return Math.max(1, count - 1) / count;
}

/** Normalizes each channel with the given statistics. Not differentiable. */
export function normalizeByMoving(
  { backend }: TensorFlowRuntime,
  x: Tensor4D,
  { gamma, beta }: ScaleAndShift,
  { mean, variance }: ChannelStatistics,
  epsilon: number,
): Tensor4D {
  const attributes = { ...types, epsilon: { float: epsilon }, is_training: { bool: false } };
  return runOperation(backend, 'FusedBatchNormV3', attributes, [x, gamma, beta, mean, variance], 6)[0] as Tensor4D;
}

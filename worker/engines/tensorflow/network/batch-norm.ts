// Batch norm as one TensorFlow operation forward and one backward. tfjs uses many operations, which take twice as long.
import type { Tensor, Tensor1D, Tensor4D } from '@tensorflow/tfjs-core';
import { withGradient } from './differentiable.js';
import { runOperation, type TensorFlowRuntime } from '../runtime.js';

/** One value per channel. */
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
 * Normalizes each channel by the batch's statistics. Differentiable in x, gamma and beta.
 * @param report receives the batch's statistics, with TensorFlow's variance: see biasedVarianceFactor. The receiver
 *   must dispose of the tensors, which tidy does not.
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
 * Factor from the variance that TensorFlow reports, which is divided by count - 1 (or 1 if the count is 1), to the
 * biased variance, which TensorFlow normalizes with and Keras 3 averages.
 */
export function biasedVarianceFactor(count: number): number {
  return Math.max(1, count - 1) / count;
}

/** Normalizes each channel by given statistics. Not differentiable. */
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

// Batch norm with one TensorFlow operation for the forward pass and one for the backward pass. tfjs uses many
// operations, which together take twice as long.
import type { Tensor, Tensor1D, Tensor4D } from '@tensorflow/tfjs-core';
import { withGradient } from './differentiable.js';
import { runOperation, type TensorFlowJs, type TensorFlowRuntime } from '../runtime.js';

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
 * Normalizes each channel (the last axis) with the statistics of the batch. Differentiable with respect to x, gamma and beta.
 * @param report receives the statistics of the batch, with the variance as TensorFlow reports it: see
 *   biasedVarianceFactor. The receiver must dispose of the tensors, because tidy does not.
 */
export function normalizeByBatch(
  { tf, backend }: TensorFlowRuntime,
  x: Tensor,
  { gamma, beta }: ScaleAndShift,
  epsilon: number,
  report: (statistics: ChannelStatistics) => void,
): Tensor {
  const attributes = { ...types, epsilon: { float: epsilon }, is_training: { bool: true } };
  const normalized = withGradient(tf, [asImages(tf, x), gamma, beta], (x, gamma, beta) => {
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
  return tf.reshape(normalized, x.shape);
}

/** Returns vectors, [images, channels], as images of one pixel, because TensorFlow normalizes only images. */
function asImages(tf: TensorFlowJs, x: Tensor): Tensor4D {
  return x.rank === 4 ? (x as Tensor4D) : tf.reshape(x, [x.shape[0], 1, 1, x.shape.at(-1)!]);
}

/**
 * Returns the factor that converts the variance that TensorFlow reports, in which the sum of squares is divided by
 * max(1, count - 1), to the biased variance, with which TensorFlow normalizes and which Keras 3 averages.
 */
export function biasedVarianceFactor(count: number): number {
  return Math.max(1, count - 1) / count;
}

/** Normalizes each channel (the last axis) with the given statistics. Not differentiable. */
export function normalizeByMoving(
  { tf, backend }: TensorFlowRuntime,
  x: Tensor,
  { gamma, beta }: ScaleAndShift,
  { mean, variance }: ChannelStatistics,
  epsilon: number,
): Tensor {
  const attributes = { ...types, epsilon: { float: epsilon }, is_training: { bool: false } };
  const inputs = [asImages(tf, x), gamma, beta, mean, variance];
  const [normalized] = runOperation(backend, 'FusedBatchNormV3', attributes, inputs, 6);
  return tf.reshape(normalized, x.shape);
}

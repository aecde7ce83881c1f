// Convolutions, with groups and without.
import type { Rank, Tensor4D } from '@tensorflow/tfjs-core';
import type { Conv2dLayer, Padding } from '../../../../shared/network/layers.js';
import { runOperation, type TensorFlowJs, type TensorFlowRuntime } from '../runtime.js';
import { float32, withGradient } from './differentiable.js';

type Convolution = Pick<Conv2dLayer, 'kernelSize' | 'strides' | 'groups' | 'padding'>;

/** Convolves without a bias. Differentiable with respect to x and the kernel. */
export function convolve(runtime: TensorFlowRuntime, x: Tensor4D, kernel: Tensor4D, layer: Convolution): Tensor4D {
  const { tf } = runtime;
  const strides: [number, number] = [...layer.strides];
  if (mustSubsample(x, layer)) {
    return convolve(runtime, subsample(tf, x, strides), kernel, { ...layer, strides: [1, 1] });
  }
  if (layer.groups === 1) return tf.conv2d(x, kernel, strides, paddingMode(layer.padding));
  return convolveGroups(runtime, x, kernel, layer);
}

/** Name of TensorFlow's padding mode that pads as the layer does. */
export function paddingMode({ top, bottom, left, right }: Padding): 'same' | 'valid' {
  return top + bottom + left + right > 0 ? 'same' : 'valid';
}

/**
 * Returns whether to take the pixels that a kernel of one pixel uses before the convolution. With few channels, oneDNN's
 * kernel for AVX2 (`jit_1x1:avx2`) otherwise writes past its buffer in the backward pass, and the process crashes
 * (https://github.com/uxlfoundation/oneDNN/issues/6035): with fewer than 8 channels, or, for images of more than 32
 * pixels, with fewer than 16.
 */
function mustSubsample({ shape }: Tensor4D, { kernelSize, strides, groups }: Convolution): boolean {
  if (Math.max(...kernelSize) > 1 || Math.max(...strides) === 1) return false;
  const [, height, width, channels] = shape;
  return channels / groups < (Math.max(height, width) > 32 ? 16 : 8);
}

/** Takes one pixel of every window. */
function subsample(tf: TensorFlowJs, x: Tensor4D, strides: [number, number]): Tensor4D {
  // Average pooling with a window of one pixel. A strided slice would do the same, but tfjs has no gradient for it.
  return tf.avgPool(x, 1, strides, 'valid');
}

/**
 * Convolves with several groups. GPUs and oneDNN take groups in the operations of ordinary convolutions; TensorFlow's
 * other CPU kernels do not. On GPUs, this also avoids TensorFlow's operations for depthwise convolutions, which have no
 * deterministic gradient with respect to the kernel.
 */
function convolveGroups(runtime: TensorFlowRuntime, x: Tensor4D, kernel: Tensor4D, layer: Convolution): Tensor4D {
  const { tf, backend, oneDnn } = runtime;
  const { strides, groups } = layer;
  if (backend.isUsingGpuDevice || oneDnn?.isOn) return convolveWithGroupedKernel(runtime, x, kernel, layer);
  const [height, width, , filters] = kernel.shape;
  const padding = paddingMode(layer.padding);
  if (groups === x.shape[3] && strides[0] === strides[1]) {
    // The filters of a channel are consecutive in both layouts of the kernel.
    const perChannel = tf.reshape<Rank.R4>(kernel, [height, width, groups, filters / groups]);
    return tf.depthwiseConv2d(x, perChannel, [...strides], padding);
  }
  const parts = tf.split<Tensor4D>(x, groups, 3);
  const kernels = tf.split<Tensor4D>(kernel, groups, 3);
  const outputs = parts.map((part, group) => tf.conv2d(part, kernels[group], [...strides], padding));
  return tf.concat(outputs, 3);
}

/** Runs TensorFlow's Conv2D directly, because tfjs rejects kernels with several groups. */
function convolveWithGroupedKernel(
  { tf, backend }: TensorFlowRuntime,
  x: Tensor4D,
  kernel: Tensor4D,
  { strides, padding }: Convolution,
): Tensor4D {
  const attributes = {
    ...float32,
    strides: { ints: [1, ...strides, 1] },
    padding: { string: paddingMode(padding).toUpperCase() },
  };
  return withGradient(tf, [x, kernel], (x, kernel) => {
    const [y] = runOperation(backend, 'Conv2D', attributes, [x, kernel], 1) as [Tensor4D];
    return {
      value: y,
      saved: [x, kernel],
      gradientsOf: (upstream, [x, kernel]) => [
        ...runOperation(
          backend,
          'Conv2DBackpropInput',
          attributes,
          [tf.tensor1d(x.shape, 'int32'), kernel, upstream],
          1,
        ),
        ...runOperation(
          backend,
          'Conv2DBackpropFilter',
          attributes,
          [x, tf.tensor1d(kernel.shape, 'int32'), upstream],
          1,
        ),
      ],
    };
  });
}

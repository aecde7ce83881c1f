// The layers of a network as differentiable functions of tensors, except batch norm and the input.
import type { Tensor, Tensor1D, Tensor2D, Tensor4D } from '@tensorflow/tfjs-core';
import type {
  ArrayLayout,
  BatchNormLayer,
  Conv2dLayer,
  DenseLayer,
  DropoutLayer,
  InputLayer,
  Layer,
  PadLayer,
  PoolLayer,
  ScaleLayer,
} from '../../../../shared/network/layers.js';
import type { TensorFlowRuntime } from '../runtime.js';
import { activate } from './activations.js';
import { convolve, paddingMode } from './convolution.js';
import { addBias } from './differentiable.js';

/** The arrays of a flat vector as tensors. */
export type Arrays = ReadonlyMap<ArrayLayout, Tensor>;

/** What layers read besides their inputs. */
export interface LayerContext {
  parameters: Arrays;
  /** Biases that are left out, because the batch norms after them cancel them. */
  omittedBiases: ReadonlySet<ArrayLayout>;
  /** Factors that dropout multiplies with, [images, …shape]. Layers without any return their input. */
  dropoutMasks: ReadonlyMap<DropoutLayer, Tensor>;
}

/** Applies a layer to its inputs, which are [images, …shape], as is the output. */
export function applyLayer(
  runtime: TensorFlowRuntime,
  layer: Exclude<Layer, InputLayer | BatchNormLayer>,
  inputs: readonly Tensor[],
  context: LayerContext,
): Tensor {
  const { tf } = runtime;
  const [x] = inputs;
  const imageCount = x.shape[0];
  switch (layer.op) {
    case 'conv2d': {
      const y = convolve(runtime, x as Tensor4D, context.parameters.get(layer.kernel) as Tensor4D, layer);
      return withBias(runtime, y, layer, context);
    }
    case 'dense': {
      const y = tf.matMul(x, context.parameters.get(layer.kernel) as Tensor2D);
      return withBias(runtime, y, layer, context);
    }
    case 'relu':
    case 'relu6':
    case 'gelu':
    case 'silu':
    case 'sigmoid':
      return activate(runtime, layer.op, x);
    case 'maxPool':
    case 'averagePool':
      return pool(runtime, x as Tensor4D, layer);
    case 'globalAveragePool':
      return tf.mean(x, [1, 2]);
    case 'globalMaxPool': {
      // Max pooling, not a reduction: its gradient goes to one of several equal elements, as in other max pools.
      const [height, width] = layer.inputShapes[0];
      return tf.reshape(tf.maxPool(x as Tensor4D, [height, width], 1, 'valid'), [imageCount, ...layer.shape]);
    }
    case 'add':
      return inputs.reduce((sum, input) => tf.add(sum, input));
    case 'multiply':
      return tf.mul(x, withRank(runtime, inputs[1], x.rank));
    case 'concat':
      return tf.concat([...inputs], x.rank - 1);
    case 'pad':
      return pad(runtime, x as Tensor4D, layer);
    case 'flatten':
    case 'reshape':
      return tf.reshape(x, [imageCount, ...layer.shape]);
    case 'dropout': {
      const mask = context.dropoutMasks.get(layer);
      return mask === undefined ? x : tf.mul(x, mask);
    }
    case 'scale':
      return scale(runtime, x, layer);
    default:
      return layer satisfies never;
  }
}

function withBias<Output extends Tensor>(
  runtime: TensorFlowRuntime,
  y: Output,
  { bias }: Conv2dLayer | DenseLayer,
  { parameters, omittedBiases }: LayerContext,
): Output {
  if (bias === null || omittedBiases.has(bias)) return y;
  return addBias(runtime, y, parameters.get(bias) as Tensor1D);
}

function pool({ tf }: TensorFlowRuntime, x: Tensor4D, { op, poolSize, strides, padding }: PoolLayer): Tensor4D {
  const apply = op === 'maxPool' ? tf.maxPool : tf.avgPool;
  return apply(x, [...poolSize], [...strides], paddingMode(padding));
}

function pad({ tf }: TensorFlowRuntime, x: Tensor4D, { rows, columns, channels }: PadLayer): Tensor4D {
  return tf.pad4d(x, [[0, 0], [...rows], [...columns], [...channels]]);
}

function scale({ tf }: TensorFlowRuntime, x: Tensor, { factor, offset }: ScaleLayer): Tensor {
  const constant = (values: readonly number[]) =>
    values.length === 1 ? tf.scalar(values[0]) : tf.tensor1d([...values]);
  const scaled = factor.every((value) => value === 1) ? x : tf.mul(x, constant(factor));
  return offset.every((value) => value === 0) ? scaled : tf.add(scaled, constant(offset));
}

/** Returns vectors, [images, channels], as images of one pixel if `rank` is that of images. */
function withRank({ tf }: TensorFlowRuntime, x: Tensor, rank: number): Tensor {
  if (x.rank === rank) return x;
  const [imageCount, channels] = [x.shape[0], x.shape.at(-1)!];
  return tf.reshape(x, rank === 4 ? [imageCount, 1, 1, channels] : [imageCount, channels]);
}

// The ResNet, once, as functions of tensors: a slice's gradient, and the evaluation. All that they return is a tensor and
// they read none back, so that they can be traced into a TensorFlow graph as well.
import type { Rank, Tensor, Tensor1D, Tensor2D, Tensor4D } from '@tensorflow/tfjs-core';
import type { Preprocessing } from '../../../shared/dataset/image-batch.js';
import type {
  ArrayLayout,
  BatchNormLayer,
  ConvLayer,
  ModelLayout,
  ResidualBlock,
} from '../../../shared/network/layout.js';
import {
  biasedPart,
  normalizeByBatch,
  normalizeByMoving,
  type ChannelStatistics,
  type ScaleAndShift,
} from './batch-norm.js';
import { addBias, crossEntropySum, relu } from './differentiable.js';
import { preprocess } from './preprocessing.js';
import type { TensorFlowRuntime } from './runtime.js';

/** Sums over images. The caller disposes of them. */
export type SumTensors = {
  lossSum: Tensor;
  correctCount: Tensor;
};

/** The caller disposes of them. */
export type EvaluationTensors = SumTensors & {
  /** [images, classes] */
  logits: Tensor2D;
};

/** Sums over a slice's images, vectors in layout order. The caller disposes of them. */
export type GradientTensors = SumTensors & {
  gradientSum: Tensor1D;
  batchStatistics: Tensor1D;
};

export interface ResNet {
  /**
   * Forward and backward, batch norm by the slice's own statistics.
   * @param weights the trainable vector
   * @param images uint8, [images, row, column, channel], channels red, green, blue
   * @param labels int32
   */
  gradientOf(weights: Tensor1D, images: Tensor, labels: Tensor1D): GradientTensors;
  /** Forward alone, batch norm by the moving statistics. */
  evaluate(weights: Tensor1D, movingStatistics: Tensor1D, images: Tensor, labels: Tensor1D): EvaluationTensors;
}

export interface ResNetOptions {
  layout: ModelLayout;
  preprocessing: Preprocessing;
  /** The part of a label that is spread over all classes, in gradientOf alone. */
  labelSmoothing: number;
  /**
   * A power of two that the loss is multiplied with before the backward pass, and the gradient divided by after it: small
   * gradients are lost in float16. With 1 nothing is computed for it.
   */
  lossScale: number;
}

/** The arrays of one flat vector as tensors. */
type Arrays = ReadonlyMap<ArrayLayout, Tensor>;
/** A convolution, then its batch norm. */
type ConvolveAndNormalize = (x: Tensor4D, conv: ConvLayer, bn: BatchNormLayer) => Tensor4D;

export function createResNet(runtime: TensorFlowRuntime, options: ResNetOptions): ResNet {
  const { tf } = runtime;
  const { layout, preprocessing, labelSmoothing, lossScale } = options;
  const { bnEpsilon } = layout.spec;
  /** In the order of the batch norms in the statistics vector. */
  const normalizedConvolutions = [layout.stem.conv, ...layout.blocks.flatMap(({ conv1, conv2 }) => [conv1, conv2])];

  function forward(images: Tensor, parameters: Arrays, convolveAndNormalize: ConvolveAndNormalize): Tensor2D {
    const { conv, bn } = layout.stem;
    let x = relu(runtime, convolveAndNormalize(preprocess(runtime, images, preprocessing), conv, bn));
    for (const block of layout.blocks) {
      const inner = relu(runtime, convolveAndNormalize(x, block.conv1, block.bn1));
      const residual = convolveAndNormalize(inner, block.conv2, block.bn2);
      x = relu(runtime, tf.add(residual, shortcut(x, block, parameters)));
    }
    const pooled = tf.mean<Tensor2D>(x, [1, 2]);
    const scores: Tensor2D = tf.matMul(pooled, matrixIn(parameters, layout.dense.kernel));
    return addBias(runtime, scores, vectorIn(parameters, layout.dense.bias));
  }

  function convolve(x: Tensor4D, { kernel, stride }: ConvLayer, parameters: Arrays): Tensor4D {
    return tf.conv2d(x, kernelIn(parameters, kernel), stride, 'same');
  }

  function convolveWithBias(x: Tensor4D, layer: ConvLayer, parameters: Arrays): Tensor4D {
    const y = convolve(x, layer, parameters);
    return layer.bias === null ? y : addBias(runtime, y, vectorIn(parameters, layer.bias));
  }

  function shortcut(x: Tensor4D, block: ResidualBlock, parameters: Arrays): Tensor4D {
    if (block.projection !== null) return convolveWithBias(x, block.projection, parameters);
    return block.conv1.stride === 1 ? x : subsample(x, block.conv1.outputChannels);
  }

  /** Every second row and column, then zeros on each side of the channels, a quarter of the new width each. */
  function subsample(x: Tensor4D, channels: number): Tensor4D {
    // The average over one pixel: a strided slice is the same, but tfjs has no gradient for it.
    const sampled = tf.avgPool(x, 1, 2, 'valid');
    const zeros: [number, number] = [channels / 4, channels / 4];
    return tf.pad4d(sampled, [[0, 0], [0, 0], [0, 0], zeros]);
  }
  function scaleAndShift(parameters: Arrays, layer: BatchNormLayer): ScaleAndShift {
    return { gamma: vectorIn(parameters, layer.gamma), beta: vectorIn(parameters, layer.beta) };
  }

  function split(vector: Tensor1D, arrays: readonly ArrayLayout[]): Arrays {
    const parts = tf.split(
      vector,
      arrays.map(({ size }) => size),
    );
    return new Map(arrays.map((array, index) => [array, tf.reshape(parts[index], [...array.shape])]));
  }

  function join(tensors: readonly Tensor[]): Tensor1D {
    return tf.concat1d(tensors.map((tensor) => tf.reshape(tensor, [tensor.size])));
  }

  function countCorrect(logits: Tensor2D, labels: Tensor1D): Tensor {
    return tf.sum(tf.equal(tf.argMax(logits, 1), labels));
  }

  function gradientOf(weights: Tensor1D, images: Tensor, labels: Tensor1D): GradientTensors {
    const parameters = split(weights, layout.trainable);
    // What the loss function hands out besides the loss: tensors kept from tfjs's own tidying of gradients.
    const statistics: ChannelStatistics[] = [];
    const correctCounts: Tensor[] = [];
    const lossOf = () => {
      const logits = forward(images, parameters, (x, conv, bn) =>
        // The batch's own mean takes a convolution's bias away again: it is left out, and its gradient is zero.
        normalizeByBatch(runtime, convolve(x, conv, parameters), scaleAndShift(parameters, bn), bnEpsilon, (seen) => {
          statistics.push(seen);
        }),
      );
      correctCounts.push(tf.keep(countCorrect(logits, labels)));
      return crossEntropySum(runtime, logits, labels, labelSmoothing);
    };
    const takenAway = new Set(normalizedConvolutions.map(({ bias }) => bias));
    const differentiated = layout.trainable.filter((array) => !takenAway.has(array));
    const { value: lossSum, grads } = tf.valueAndGrads(lossOf)(
      differentiated.map((array) => parameters.get(array)!),
      tf.scalar(lossScale),
    );
    const gradients: Arrays = new Map(differentiated.map((array, index) => [array, grads[index]]));
    const scaledSum = join(layout.trainable.map((array) => gradients.get(array) ?? tf.zeros([array.size])));
    const gradientSum: Tensor1D = lossScale === 1 ? scaledSum : tf.mul(scaledSum, 1 / lossScale);
    const batchStatistics = joinStatistics(statistics, images.shape[0], parameters);
    const correctCount = tf.clone(correctCounts[0]);
    tf.dispose([...correctCounts, ...statistics.flatMap(({ mean, variance }) => [mean, variance])]);
    return { lossSum, correctCount, gradientSum, batchStatistics };
  }

  /** The statistics vector of the batch: variances made biased, means moved by the biases that were left out. */
  function joinStatistics(statistics: readonly ChannelStatistics[], imageCount: number, parameters: Arrays): Tensor1D {
    const raw = join(statistics.flatMap(({ mean, variance }) => [mean, variance]));
    // One multiplication and one addition over the whole vector: times 1 and plus 0 change no bit.
    const factors = normalizedConvolutions.flatMap(({ outputChannels, outputSize }) => {
      const toBiased = biasedPart(imageCount * outputSize * outputSize);
      return [...Array<number>(outputChannels).fill(1), ...Array<number>(outputChannels).fill(toBiased)];
    });
    const biased: Tensor1D = tf.mul(raw, tf.tensor1d(factors));
    if (!layout.spec.convBias) return biased;
    const shifts = normalizedConvolutions.flatMap(({ bias, outputChannels }) => {
      const zeros = tf.zeros<Rank.R1>([outputChannels]);
      return [bias === null ? zeros : vectorIn(parameters, bias), zeros];
    });
    return tf.add(biased, join(shifts));
  }

  function evaluate(
    weights: Tensor1D,
    movingStatistics: Tensor1D,
    images: Tensor,
    labels: Tensor1D,
  ): EvaluationTensors {
    const parameters = split(weights, layout.trainable);
    const statistics = split(movingStatistics, layout.statistics);
    const logits = forward(images, parameters, (x, conv, bn) => {
      const moving = { mean: vectorIn(statistics, bn.mean), variance: vectorIn(statistics, bn.variance) };
      const y = convolveWithBias(x, conv, parameters);
      return normalizeByMoving(runtime, y, scaleAndShift(parameters, bn), moving, bnEpsilon);
    });
    return { lossSum: crossEntropySum(runtime, logits, labels), correctCount: countCorrect(logits, labels), logits };
  }

  return {
    gradientOf: (...inputs) => tf.tidy(() => gradientOf(...inputs)),
    evaluate: (...inputs) => tf.tidy(() => evaluate(...inputs)),
  };
}

// The map is made of the layout's arrays, so each one is there, with the rank that its layer needs.
function kernelIn(arrays: Arrays, array: ArrayLayout): Tensor4D {
  return arrays.get(array) as Tensor4D;
}

function matrixIn(arrays: Arrays, array: ArrayLayout): Tensor2D {
  return arrays.get(array) as Tensor2D;
}

function vectorIn(arrays: Arrays, array: ArrayLayout): Tensor1D {
  return arrays.get(array) as Tensor1D;
}

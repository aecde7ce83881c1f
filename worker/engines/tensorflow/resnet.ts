// The ResNet, once, as functions of tensors: a slice's gradient, and the evaluation. All that they return is a tensor and
// they read none back, so that they can be traced into a TensorFlow graph as well.
import type { Tensor, Tensor1D, Tensor2D, Tensor4D } from '@tensorflow/tfjs-core';
import type {
  ArrayLayout,
  BatchNormLayer,
  ConvLayer,
  ModelLayout,
  ResidualBlock,
} from '../../../shared/model/layout.js';
import { normalizeByBatch, normalizeByMoving, type ScaleAndShift } from './batch-norm.js';
import { addBias, crossEntropy, relu } from './differentiable.js';
import type { TensorFlowRuntime } from './runtime.js';

/** Sums over images. The caller disposes of them. */
export type EvaluationTensors = {
  lossSum: Tensor;
  correctCount: Tensor;
};

/** Sums over a slice's images, vectors in layout order. The caller disposes of them. */
export type GradientTensors = EvaluationTensors & {
  gradientSum: Tensor1D;
  batchStatistics: Tensor1D;
};

export interface ResNet {
  /**
   * Forward and backward, batch norm by the slice's own statistics.
   * @param weights the trainable vector
   * @param images preprocessed, [images, row, column, channel]
   * @param labels int32
   */
  gradientOf(weights: Tensor1D, images: Tensor4D, labels: Tensor1D): GradientTensors;
  /** Forward alone, batch norm by the moving statistics. */
  evaluate(weights: Tensor1D, movingStatistics: Tensor1D, images: Tensor4D, labels: Tensor1D): EvaluationTensors;
}

/** The arrays of one flat vector as tensors. */
type Arrays = ReadonlyMap<ArrayLayout, Tensor>;
type Normalize = (x: Tensor4D, layer: BatchNormLayer) => Tensor4D;

export function createResNet(runtime: TensorFlowRuntime, layout: ModelLayout): ResNet {
  const { tf } = runtime;
  const { bnEpsilon } = layout.spec;

  function forward(images: Tensor4D, parameters: Arrays, normalize: Normalize): Tensor2D {
    let x = relu(runtime, normalize(convolve(images, layout.stem.conv, parameters), layout.stem.bn));
    for (const block of layout.blocks) {
      const inner = relu(runtime, normalize(convolve(x, block.conv1, parameters), block.bn1));
      const residual = normalize(convolve(inner, block.conv2, parameters), block.bn2);
      x = relu(runtime, tf.add(residual, shortcut(x, block, parameters)));
    }
    const pooled = tf.mean<Tensor2D>(x, [1, 2]);
    const scores: Tensor2D = tf.matMul(pooled, matrixIn(parameters, layout.dense.kernel));
    return addBias(runtime, scores, vectorIn(parameters, layout.dense.bias));
  }

  function convolve(x: Tensor4D, layer: ConvLayer, parameters: Arrays): Tensor4D {
    const y = tf.conv2d(x, kernelIn(parameters, layer.kernel), layer.stride, 'same');
    return layer.bias === null ? y : addBias(runtime, y, vectorIn(parameters, layer.bias));
  }

  function shortcut(x: Tensor4D, block: ResidualBlock, parameters: Arrays): Tensor4D {
    if (block.projection !== null) return convolve(x, block.projection, parameters);
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

  function gradientOf(weights: Tensor1D, images: Tensor4D, labels: Tensor1D): GradientTensors {
    const parameters = split(weights, layout.trainable);
    // What the loss function hands out besides the loss: tensors kept from tfjs's own tidying of gradients.
    const statistics: Tensor1D[] = [];
    const correctCounts: Tensor[] = [];
    const lossOf = () => {
      const logits = forward(images, parameters, (x, layer) =>
        normalizeByBatch(runtime, x, scaleAndShift(parameters, layer), bnEpsilon, ({ mean, variance }) => {
          statistics.push(mean, variance);
        }),
      );
      correctCounts.push(tf.keep(countCorrect(logits, labels)));
      return tf.sum(crossEntropy(runtime, logits, labels));
    };
    const { value: lossSum, grads } = tf.valueAndGrads(lossOf)([...parameters.values()]);
    const batchStatistics = join(statistics);
    tf.dispose(statistics);
    return { lossSum, correctCount: correctCounts[0], gradientSum: join(grads), batchStatistics };
  }

  function evaluate(
    weights: Tensor1D,
    movingStatistics: Tensor1D,
    images: Tensor4D,
    labels: Tensor1D,
  ): EvaluationTensors {
    const parameters = split(weights, layout.trainable);
    const statistics = split(movingStatistics, layout.statistics);
    const logits = forward(images, parameters, (x, layer) => {
      const moving = {
        mean: vectorIn(statistics, layer.mean),
        variance: vectorIn(statistics, layer.variance),
      };
      return normalizeByMoving(runtime, x, scaleAndShift(parameters, layer), moving, bnEpsilon);
    });
    return { lossSum: tf.sum(crossEntropy(runtime, logits, labels)), correctCount: countCorrect(logits, labels) };
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

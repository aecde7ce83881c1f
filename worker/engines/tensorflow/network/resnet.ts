// The ResNet as functions of tensors: gradient of a slice, and evaluation. The functions return only tensors and never
// read their values, so they can also be traced into a TensorFlow graph.
import type { Rank, Tensor, Tensor1D, Tensor2D, Tensor4D } from '@tensorflow/tfjs-core';
import type { Preprocessing } from '../../../../shared/dataset/image-batch.js';
import type {
  ArrayLayout,
  BatchNormLayer,
  ConvLayer,
  ModelLayout,
  ResidualBlock,
} from '../../../../shared/network/layout.js';
import {
  biasedVarianceFactor,
  normalizeByBatch,
  normalizeByMoving,
  type ChannelStatistics,
  type ScaleAndShift,
} from './batch-norm.js';
import { addBias, crossEntropySum, relu } from './differentiable.js';
import { preprocess } from './preprocessing.js';
import type { TensorFlowJs, TensorFlowRuntime } from '../runtime.js';

/** Sums over the images of a batch. */
export type SumTensors = {
  lossSum: Tensor;
  correctCount: Tensor;
};

export type EvaluationTensors = SumTensors & {
  /** [images, classes] */
  logits: Tensor2D;
};

/** Sums over the images of a slice; vectors are in layout order. */
export type GradientTensors = SumTensors & {
  gradientSum: Tensor1D;
  batchStatistics: Tensor1D;
};

export interface ResNetOptions {
  layout: ModelLayout;
  preprocessing: Preprocessing;
  /** Fraction of each label that gradientOf spreads evenly over all classes. */
  labelSmoothing: number;
  /**
   * Power of two by which the loss is multiplied before the backward pass, and by which the gradient is divided
   * afterward, because small gradients underflow in float16. A scale of 1 adds no operations.
   */
  lossScale: number;
}

/** The arrays of a flat vector as tensors. */
type Arrays = ReadonlyMap<ArrayLayout, Tensor>;
/** A convolution followed by its batch norm. */
type ConvolveAndNormalize = (x: Tensor4D, conv: ConvLayer, bn: BatchNormLayer) => Tensor4D;

/** The network. The caller must dispose of the tensors that the methods return. */
export class ResNet {
  readonly #runtime: TensorFlowRuntime;
  readonly #tf: TensorFlowJs;
  readonly #options: ResNetOptions;
  readonly #layout: ModelLayout;
  /** Convolutions that are followed by a batch norm, in the order of the statistics vector. */
  readonly #normalizedConvolutions: readonly ConvLayer[];

  constructor(runtime: TensorFlowRuntime, options: ResNetOptions) {
    const { stem, blocks } = options.layout;
    this.#runtime = runtime;
    this.#tf = runtime.tf;
    this.#options = options;
    this.#layout = options.layout;
    this.#normalizedConvolutions = [stem.conv, ...blocks.flatMap(({ conv1, conv2 }) => [conv1, conv2])];
  }

  /**
   * Runs the forward and backward pass. Batch norm uses the statistics of the slice.
   * @param weights the trainable vector
   * @param images uint8, [images, row, column, channel], channels red, green, blue, or gray
   * @param labels int32
   */
  gradientOf(weights: Tensor1D, images: Tensor, labels: Tensor1D): GradientTensors {
    return this.#tf.tidy(() => this.#gradientOf(weights, images, labels));
  }

  /** Runs the forward pass with the moving statistics. */
  evaluate(weights: Tensor1D, movingStatistics: Tensor1D, images: Tensor, labels: Tensor1D): EvaluationTensors {
    return this.#tf.tidy(() => this.#evaluate(weights, movingStatistics, images, labels));
  }

  #gradientOf(weights: Tensor1D, images: Tensor, labels: Tensor1D): GradientTensors {
    const tf = this.#tf;
    const { labelSmoothing, lossScale } = this.#options;
    const parameters = this.#split(weights, this.#layout.weights);
    // The loss function also computes these tensors. They must survive tfjs's cleanup after the gradient.
    const statistics: ChannelStatistics[] = [];
    const correctCounts: Tensor[] = [];
    const lossOf = () => {
      const logits = this.#batchForward(images, parameters, (seen) => statistics.push(seen));
      correctCounts.push(tf.keep(this.#countCorrect(logits, labels)));
      return crossEntropySum(this.#runtime, logits, labels, labelSmoothing);
    };
    const omitted = new Set(this.#normalizedConvolutions.map(({ bias }) => bias));
    const differentiated = this.#layout.weights.filter((array) => !omitted.has(array));
    const { value: lossSum, grads } = tf.valueAndGrads(lossOf)(
      differentiated.map((array) => parameters.get(array)!),
      tf.scalar(lossScale),
    );
    const gradients: Arrays = new Map(differentiated.map((array, index) => [array, grads[index]]));
    const scaledSum = this.#join(this.#layout.weights.map((array) => gradients.get(array) ?? tf.zeros([array.size])));
    const gradientSum: Tensor1D = lossScale === 1 ? scaledSum : tf.mul(scaledSum, 1 / lossScale);
    const batchStatistics = this.#joinStatistics(statistics, images.shape[0], parameters);
    const correctCount = tf.clone(correctCounts[0]);
    tf.dispose([...correctCounts, ...statistics.flatMap(({ mean, variance }) => [mean, variance])]);
    return { lossSum, correctCount, gradientSum, batchStatistics };
  }

  #evaluate(weights: Tensor1D, movingStatistics: Tensor1D, images: Tensor, labels: Tensor1D): EvaluationTensors {
    const parameters = this.#split(weights, this.#layout.weights);
    const statistics = this.#split(movingStatistics, this.#layout.statistics);
    const logits = this.#forward(images, parameters, (x, conv, bn) => {
      const moving = { mean: vectorIn(statistics, bn.mean), variance: vectorIn(statistics, bn.variance) };
      const y = this.#convolveWithBias(x, conv, parameters);
      return normalizeByMoving(this.#runtime, y, scaleAndShift(parameters, bn), moving, this.#layout.spec.bnEpsilon);
    });
    const lossSum = crossEntropySum(this.#runtime, logits, labels);
    return { lossSum, correctCount: this.#countCorrect(logits, labels), logits };
  }

  /**
   * Forward pass that normalizes with the statistics of the batch. These cancel the biases of the convolutions, so the
   * biases are omitted.
   */
  #batchForward(images: Tensor, parameters: Arrays, report: (statistics: ChannelStatistics) => void): Tensor2D {
    const { bnEpsilon } = this.#layout.spec;
    return this.#forward(images, parameters, (x, conv, bn) => {
      const y = this.#convolve(x, conv, parameters);
      return normalizeByBatch(this.#runtime, y, scaleAndShift(parameters, bn), bnEpsilon, report);
    });
  }

  /** Runs the network and returns the logits. */
  #forward(images: Tensor, parameters: Arrays, convolveAndNormalize: ConvolveAndNormalize): Tensor2D {
    const tf = this.#tf;
    const runtime = this.#runtime;
    const { stem, blocks, dense } = this.#layout;
    const input = preprocess(runtime, images, this.#options.preprocessing);
    let x = relu(runtime, convolveAndNormalize(input, stem.conv, stem.bn));
    for (const block of blocks) {
      const inner = relu(runtime, convolveAndNormalize(x, block.conv1, block.bn1));
      const residual = convolveAndNormalize(inner, block.conv2, block.bn2);
      x = relu(runtime, tf.add(residual, this.#shortcut(x, block, parameters)));
    }
    const pooled = tf.mean<Tensor2D>(x, [1, 2]);
    const scores: Tensor2D = tf.matMul(pooled, matrixIn(parameters, dense.kernel));
    return addBias(runtime, scores, vectorIn(parameters, dense.bias));
  }

  #convolve(x: Tensor4D, { kernel, stride }: ConvLayer, parameters: Arrays): Tensor4D {
    return this.#tf.conv2d(x, kernelIn(parameters, kernel), stride, 'same');
  }

  #convolveWithBias(x: Tensor4D, layer: ConvLayer, parameters: Arrays): Tensor4D {
    const y = this.#convolve(x, layer, parameters);
    return layer.bias === null ? y : addBias(this.#runtime, y, vectorIn(parameters, layer.bias));
  }

  #shortcut(x: Tensor4D, block: ResidualBlock, parameters: Arrays): Tensor4D {
    if (block.projection !== null) return this.#project(x, block.projection, parameters);
    return block.conv1.stride === 1 ? x : this.#padChannels(this.#subsample(x), block.conv1.outputChannels);
  }

  /**
   * Convolves with a kernel of one pixel. With few channels, takes every second pixel first: oneDNN's kernel for AVX2
   * (`jit_1x1:avx2`) otherwise writes past its buffer in the backward pass, and the process crashes
   * (https://github.com/uxlfoundation/oneDNN/issues/6035): with fewer than 8 channels, or, for images of more than 32
   * pixels, with fewer than 16.
   */
  #project(x: Tensor4D, layer: ConvLayer, parameters: Arrays): Tensor4D {
    const { inputChannels, inputSize } = layer;
    if (inputChannels >= (inputSize > 32 ? 16 : 8)) return this.#convolveWithBias(x, layer, parameters);
    return this.#convolveWithBias(this.#subsample(x), { ...layer, stride: 1 }, parameters);
  }

  /** Takes every second row and column. */
  #subsample(x: Tensor4D): Tensor4D {
    // Average pooling with a window of one pixel. A strided slice would do the same, but tfjs has no gradient for it.
    return this.#tf.avgPool(x, 1, 2, 'valid');
  }

  /** Pads the channels with zeros: a quarter of the new channels on each side. */
  #padChannels(x: Tensor4D, channels: number): Tensor4D {
    const zeros: [number, number] = [channels / 4, channels / 4];
    return this.#tf.pad4d(x, [[0, 0], [0, 0], [0, 0], zeros]);
  }

  #split(vector: Tensor1D, arrays: readonly ArrayLayout[]): Arrays {
    const tensors = this.#tf.split(
      vector,
      arrays.map(({ size }) => size),
    );
    return new Map(arrays.map((array, index) => [array, this.#tf.reshape(tensors[index], [...array.shape])]));
  }

  #join(tensors: readonly Tensor[]): Tensor1D {
    return this.#tf.concat1d(tensors.map((tensor) => this.#tf.reshape(tensor, [tensor.size])));
  }

  #countCorrect(logits: Tensor2D, labels: Tensor1D): Tensor {
    return this.#tf.sum(this.#tf.equal(this.#tf.argMax(logits, 1), labels));
  }

  /** Returns the batch's statistics vector, with biased variances and the omitted biases added to the means. */
  #joinStatistics(statistics: readonly ChannelStatistics[], imageCount: number, parameters: Arrays): Tensor1D {
    const tf = this.#tf;
    const raw = this.#join(statistics.flatMap(({ mean, variance }) => [mean, variance]));
    // One multiplication and one addition for the whole vector. Where no correction is needed, × 1 and + 0 are exact.
    const factors = this.#normalizedConvolutions.flatMap(({ outputChannels, outputSize }) => {
      const toBiased = biasedVarianceFactor(imageCount * outputSize * outputSize);
      return [...Array<number>(outputChannels).fill(1), ...Array<number>(outputChannels).fill(toBiased)];
    });
    const biased: Tensor1D = tf.mul(raw, tf.tensor1d(factors));
    if (!this.#layout.spec.convBias) return biased;
    const shifts = this.#normalizedConvolutions.flatMap(({ bias, outputChannels }) => {
      const zeros = tf.zeros<Rank.R1>([outputChannels]);
      return [bias === null ? zeros : vectorIn(parameters, bias), zeros];
    });
    return tf.add(biased, this.#join(shifts));
  }
}

function scaleAndShift(parameters: Arrays, layer: BatchNormLayer): ScaleAndShift {
  return { gamma: vectorIn(parameters, layer.gamma), beta: vectorIn(parameters, layer.beta) };
}

// The map is built from the arrays of the layout, so every array exists and has the rank that its layer requires.
function kernelIn(arrays: Arrays, array: ArrayLayout): Tensor4D {
  return arrays.get(array) as Tensor4D;
}

function matrixIn(arrays: Arrays, array: ArrayLayout): Tensor2D {
  return arrays.get(array) as Tensor2D;
}

function vectorIn(arrays: Arrays, array: ArrayLayout): Tensor1D {
  return arrays.get(array) as Tensor1D;
}

// A network as functions of tensors: gradient of a slice, and evaluation. The functions return only tensors and never
// read their values, so they can also be traced into a TensorFlow graph.
import type { Rank, Tensor, Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import type { Preprocessing } from '../../../../shared/dataset/image-batch.js';
import type {
  ArrayLayout,
  BatchNormLayer,
  DropoutLayer,
  Layer,
  WeightArray,
} from '../../../../shared/network/layers.js';
import type { ModelLayout } from '../../../../shared/network/layout.js';
import {
  biasedVarianceFactor,
  normalizeByBatch,
  normalizeByMoving,
  type ChannelStatistics,
  type ScaleAndShift,
} from './batch-norm.js';
import { crossEntropySum } from './differentiable.js';
import { applyLayer, type Arrays, type LayerContext } from './layer-operations.js';
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

export interface NetworkOptions {
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

type Normalize = (x: Tensor, layer: BatchNormLayer) => Tensor;

/** The network. The caller must dispose of the tensors that the methods return. */
export class Network {
  /** Dropout layers, in the order of the masks that gradientOf takes. */
  readonly dropoutLayers: readonly DropoutLayer[];
  readonly #runtime: TensorFlowRuntime;
  readonly #tf: TensorFlowJs;
  readonly #options: NetworkOptions;
  readonly #layout: ModelLayout;
  readonly #batchNorms: readonly BatchNormLayer[];
  /** Biases that batch norms cancel in training. */
  readonly #canceledBiases: ReadonlyMap<BatchNormLayer, WeightArray>;

  constructor(runtime: TensorFlowRuntime, options: NetworkOptions) {
    const { layers } = options.layout;
    this.#runtime = runtime;
    this.#tf = runtime.tf;
    this.#options = options;
    this.#layout = options.layout;
    this.dropoutLayers = layers.filter((layer) => layer.op === 'dropout');
    this.#batchNorms = layers.filter((layer) => layer.op === 'batchNorm');
    this.#canceledBiases = canceledBiases(layers);
  }

  /**
   * Runs the forward and backward pass. Batch norm uses the statistics of the slice.
   * @param weights the vector of the weights
   * @param images uint8, [images, row, column, channel], channels red, green, blue, or gray
   * @param labels int32
   * @param dropoutMasks one per dropout layer, [images, …shape]
   */
  gradientOf(weights: Tensor1D, images: Tensor, labels: Tensor1D, ...dropoutMasks: Tensor[]): GradientTensors {
    return this.#tf.tidy(() => this.#gradientOf(weights, images, labels, dropoutMasks));
  }

  /** Runs the forward pass with the moving statistics. */
  evaluate(weights: Tensor1D, movingStatistics: Tensor1D, images: Tensor, labels: Tensor1D): EvaluationTensors {
    return this.#tf.tidy(() => this.#evaluate(weights, movingStatistics, images, labels));
  }

  #gradientOf(weights: Tensor1D, images: Tensor, labels: Tensor1D, dropoutMasks: readonly Tensor[]): GradientTensors {
    const tf = this.#tf;
    const { labelSmoothing, lossScale } = this.#options;
    const parameters = this.#split(weights, this.#layout.weights);
    const omittedBiases = new Set(this.#canceledBiases.values());
    const context = {
      parameters,
      omittedBiases,
      dropoutMasks: new Map(this.dropoutLayers.map((layer, index) => [layer, dropoutMasks[index]])),
    };
    // The loss function also computes these tensors. They must survive tfjs's cleanup after the gradient.
    const statistics: ChannelStatistics[] = [];
    const correctCounts: Tensor[] = [];
    const lossOf = () => {
      const logits = this.#forward(images, context, (x, layer) =>
        normalizeByBatch(this.#runtime, x, this.#scaleAndShift(layer, parameters), layer.epsilon, (seen) =>
          statistics.push(seen),
        ),
      );
      correctCounts.push(tf.keep(this.#countCorrect(logits, labels)));
      return crossEntropySum(this.#runtime, logits, labels, labelSmoothing);
    };
    const differentiated = this.#layout.weights.filter((array) => array.trainable && !omittedBiases.has(array));
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
    const context = {
      parameters,
      omittedBiases: new Set<ArrayLayout>(),
      dropoutMasks: new Map<DropoutLayer, Tensor>(),
    };
    const logits = this.#forward(images, context, (x, layer) => {
      const moving = { mean: vectorIn(statistics, layer.mean), variance: vectorIn(statistics, layer.variance) };
      return normalizeByMoving(this.#runtime, x, this.#scaleAndShift(layer, parameters), moving, layer.epsilon);
    });
    const lossSum = crossEntropySum(this.#runtime, logits, labels);
    return { lossSum, correctCount: this.#countCorrect(logits, labels), logits };
  }

  /** Runs the network and returns the logits. */
  #forward(images: Tensor, context: LayerContext, normalize: Normalize): Tensor2D {
    const { layers, graph } = this.#layout;
    const outputs: Tensor[] = [];
    for (const layer of layers) {
      const inputs = layer.inputs.map((index) => outputs[index]);
      if (layer.op === 'input') {
        outputs.push(preprocess(this.#runtime, images, this.#options.preprocessing, graph.channelOrder));
      } else if (layer.op === 'batchNorm') {
        outputs.push(normalize(inputs[0], layer));
      } else {
        outputs.push(applyLayer(this.#runtime, layer, inputs, context));
      }
    }
    return outputs.at(-1) as Tensor2D;
  }

  #scaleAndShift({ gamma, beta, mean }: BatchNormLayer, parameters: Arrays): ScaleAndShift {
    return {
      gamma: gamma === null ? this.#tf.ones([mean.size]) : vectorIn(parameters, gamma),
      beta: beta === null ? this.#tf.zeros([mean.size]) : vectorIn(parameters, beta),
    };
  }

  #split(vector: Tensor1D, arrays: readonly ArrayLayout[]): Arrays {
    if (arrays.length === 0) return new Map();
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
    if (statistics.length === 0) return tf.tensor1d([]);
    const raw = this.#join(statistics.flatMap(({ mean, variance }) => [mean, variance]));
    // One multiplication and one addition for the whole vector. Where no correction is needed, × 1 and + 0 are exact.
    const factors = this.#batchNorms.flatMap(({ shape, mean: { size } }) => {
      const pixels = shape.slice(0, -1).reduce((product, extent) => product * extent, 1);
      const toBiased = biasedVarianceFactor(imageCount * pixels);
      return [...Array<number>(size).fill(1), ...Array<number>(size).fill(toBiased)];
    });
    const biased: Tensor1D = tf.mul(raw, tf.tensor1d(factors));
    if (this.#canceledBiases.size === 0) return biased;
    const shifts = this.#batchNorms.flatMap((layer) => {
      const zeros = tf.zeros<Rank.R1>([layer.mean.size]);
      const bias = this.#canceledBiases.get(layer);
      return [bias === undefined ? zeros : vectorIn(parameters, bias), zeros];
    });
    return tf.add(biased, this.#join(shifts));
  }
}

/**
 * Returns the biases that the statistics of a batch cancel, by batch norm: those of convolutions and dense layers whose
 * output only a batch norm reads.
 */
function canceledBiases(layers: readonly Layer[]): ReadonlyMap<BatchNormLayer, WeightArray> {
  const consumerCounts = layers.map(() => 0);
  for (const { inputs } of layers) {
    for (const input of inputs) consumerCounts[input]++;
  }
  const biases = new Map<BatchNormLayer, WeightArray>();
  for (const layer of layers) {
    if (layer.op !== 'batchNorm') continue;
    const source = layers[layer.inputs[0]];
    if (source.op !== 'conv2d' && source.op !== 'dense') continue;
    if (source.bias !== null && consumerCounts[source.index] === 1) biases.set(layer, source.bias);
  }
  return biases;
}

// The map is built from the arrays of the layout, so every array exists and has the rank that its layer requires.
function vectorIn(arrays: Arrays, array: ArrayLayout): Tensor1D {
  return arrays.get(array) as Tensor1D;
}

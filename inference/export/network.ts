// Describes the exported network, from pixels to logits, as a sequence of calls to a format's writer.
import { preprocessingName, type Preprocessing } from '../../shared/dataset/image-batch.js';
import { inputTransformOf } from '../../shared/dataset/input-transform.js';
import type { Conv2dNode, PaddingMode, PoolNode } from '../../shared/network/graph.js';
import type {
  ArrayLayout,
  BatchNormLayer,
  Conv2dLayer,
  InputLayer,
  Layer,
  MultiplyLayer,
  PoolLayer,
  Shape,
  WeightArray,
} from '../../shared/network/layers.js';
import { arrayOf, type ModelLayout } from '../../shared/network/layout.js';
import { colorKernels } from './color-kernels.js';

/** A trained network, with the metadata for exported files. */
export interface TrainedModel {
  layout: ModelLayout;
  weights: Float32Array;
  movingStatistics: Float32Array;
  preprocessing: Preprocessing;
  /** Class names, in the order of the logits. */
  classNames: readonly string[];
  /** Number of completed training steps. */
  step: number;
  /** Hash of the weights: see weightsSha256 in shared/network/layout-hash.ts. */
  weightsSha256: string;
}

/**
 * Name of the input tensor: float32 [N, row, column, channel], with values from 0 to 255 for red, green and blue, or for
 * gray.
 */
export const inputName = 'images';
/** Name of the output tensor: float32 [N, class]. */
export const outputName = 'logits';

export interface PixelTransform {
  /** Values to subtract: one per channel, or one per pixel and channel, [row, column, channel]. */
  subtract: Float32Array;
  /** Divisors for the differences, one per channel. */
  divide: Float32Array;
  /** Whether to reverse the order of the channels after that. */
  reversesChannels: boolean;
}

/** A trained network that takes red, green and blue, or gray, with the values of its arrays. */
export class ExportedNetwork {
  readonly layout: ModelLayout;
  readonly transform: PixelTransform;
  /** Kernels whose input channels are in the opposite order of those in the checkpoint. */
  readonly reversedKernels: ReadonlySet<WeightArray>;
  readonly #weights: Float32Array;
  readonly #statistics: Float32Array;

  constructor({ layout, weights, movingStatistics, preprocessing }: TrainedModel) {
    const { subtract, divide } = inputTransformOf(preprocessing, layout.data.channels);
    const takesBlueFirst = layout.data.channels === 3 && layout.graph.channelOrder === 'bgr';
    const kernels = takesBlueFirst ? colorKernels(layout.layers) : [];
    this.layout = layout;
    this.transform = { subtract, divide, reversesChannels: kernels === null };
    this.reversedKernels = new Set(kernels);
    this.#weights = weights;
    this.#statistics = movingStatistics;
  }

  weightsOf(array: WeightArray): Float32Array {
    const values = arrayOf(this.#weights, array);
    return this.reversedKernels.has(array) ? withReversedInputs(values, array.shape) : values;
  }

  statisticsOf(array: ArrayLayout): Float32Array {
    return arrayOf(this.#statistics, array);
  }

  /** Returns the vectors of a batch norm, with ones for a missing gamma and zeros for a missing beta. */
  vectorsOf({ gamma, beta, mean, variance }: BatchNormLayer) {
    return {
      gamma: gamma === null ? new Float32Array(mean.size).fill(1) : this.weightsOf(gamma),
      beta: beta === null ? new Float32Array(mean.size) : this.weightsOf(beta),
      moving_mean: this.statisticsOf(mean),
      moving_variance: this.statisticsOf(variance),
    };
  }

  /** Returns the padding mode of a layer, which itself has only the resulting numbers of rows and columns. */
  paddingModeOf({ index }: Conv2dLayer | PoolLayer): PaddingMode {
    // The layers are the input and then the nodes.
    return (this.layout.graph.nodes[index - 1] as Conv2dNode | PoolNode).padding;
  }
}

/** Reverses the input channels of a kernel, [height, width, in, out]. */
function withReversedInputs(kernel: Float32Array, [, , inputs, outputs]: Shape): Float32Array {
  const reversed = new Float32Array(kernel.length);
  for (let tap = 0; tap < kernel.length; tap += inputs * outputs) {
    for (let input = 0; input < inputs; input++) {
      const from = tap + input * outputs;
      reversed.set(kernel.subarray(from, from + outputs), tap + (inputs - 1 - input) * outputs);
    }
  }
  return reversed;
}

/** A layer after the input. */
export type NetworkLayer = Exclude<Layer, InputLayer>;

/** Writes a network in one format. A Value refers to a layer's output. */
export interface NetworkWriter<Value> {
  input(): Value;
  /** Computes (pixel − subtract) / divide, and reverses the channels where required. */
  preprocess(x: Value, transform: PixelTransform): Value;
  layer(layer: NetworkLayer, inputs: readonly Value[]): Value;
}

/** Calls the writer for each layer, in order, and returns the logits. */
export function writeNetwork<Value>({ layout, transform }: ExportedNetwork, writer: NetworkWriter<Value>): Value {
  const values: Value[] = [];
  for (const layer of layout.layers) {
    values.push(
      layer.op === 'input'
        ? writer.preprocess(writer.input(), transform)
        : writer.layer(
            layer,
            layer.inputs.map((input) => values[input]),
          ),
    );
  }
  return values.at(-1)!;
}

/**
 * Returns whether a convolution can be exported as a depthwise convolution, whose kernel is [height, width, in,
 * multiplier]: the same elements in the same order. TensorFlow supports these only with equal strides.
 */
export function isDepthwise({ groups, inputShapes: [input], strides }: Conv2dLayer): boolean {
  return groups > 1 && groups === input[2] && strides[0] === strides[1];
}

/**
 * Returns the shape that the second factor of a product must be given, so that it is multiplied with the first one
 * element by element, with broadcasting; null if it has such a shape.
 */
export function factorShape({ inputShapes: [first, second] }: MultiplyLayer): Shape | null {
  if (first.length === second.length) return null;
  const channels = second.at(-1)!;
  return first.length === 3 ? [1, 1, channels] : [channels];
}

/** Returns the shape of the input tensor, with N for the batch dimension. */
export function inputShapeOf({ data: { height, width, channels } }: ModelLayout): ['N', number, number, number] {
  return ['N', height, width, channels];
}

function describeChannels({ data: { channels } }: ModelLayout): string {
  return channels === 1 ? 'gray' : 'channels red, green, blue';
}

/** Returns the metadata of a model, for formats that can store it. */
export function describeModel(model: TrainedModel): Record<string, string> {
  const { layout, classNames, step, weightsSha256, preprocessing } = model;
  return {
    model: layout.graph.name,
    input:
      `${inputName}: float32 [${inputShapeOf(layout).join(', ')}], ${describeChannels(layout)}, 0 to 255; the preprocessing ` +
      `(${preprocessingName(preprocessing)}) is part of the model`,
    output: `${outputName}: float32 [N, ${layout.data.classCount}], before the softmax`,
    // Names of folders may contain commas.
    classes: classNames.some((name) => name.includes(',')) ? JSON.stringify(classNames) : classNames.join(','),
    step: String(step),
    weightsSha256,
  };
}

// Describes the exported network, from pixels to logits, as a sequence of calls to a format's writer.
import { preprocessingName, type Preprocessing } from '../../shared/dataset/image-batch.js';
import { inputTransformOf, type InputTransform } from '../../shared/dataset/input-transform.js';
import {
  arrayOf,
  type ArrayLayout,
  type BatchNormLayer,
  type ConvLayer,
  type ModelLayout,
} from '../../shared/network/layout.js';

/** A trained network, with the metadata for exported files. */
export interface TrainedModel {
  layout: ModelLayout;
  /** The trainable weights. */
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

/** A convolution with its weights. The padding is SAME as in TensorFlow. */
export interface Convolution extends Pick<
  ConvLayer,
  'kernelSize' | 'stride' | 'inputChannels' | 'outputChannels' | 'inputSize' | 'outputSize'
> {
  /** Name, for example `group2/block1/conv1`. */
  name: string;
  /** Filter weights, [height, width, in, out]. */
  kernel: Float32Array;
  bias: Float32Array | null;
}

/** Batch norm for inference, with the moving statistics. */
export interface Normalization {
  name: string;
  channels: number;
  gamma: Float32Array;
  beta: Float32Array;
  mean: Float32Array;
  variance: Float32Array;
  epsilon: number;
}

/** Identity shortcut that halves height and width, rounded up, and doubles the number of channels. */
export interface Subsampling {
  name: string;
  inputChannels: number;
  inputSize: number;
  /** Number of zero channels added before, and also after, the existing channels. */
  channelPadding: number;
}

export interface Dense {
  name: string;
  inputs: number;
  outputs: number;
  /** Weights, [in, out]. */
  kernel: Float32Array;
  bias: Float32Array;
}

/** Writes layers in one format. A Value refers to a layer's output. Images have the shape [N, row, column, channel]. */
export interface NetworkWriter<Value> {
  input(): Value;
  /** Computes (pixel − subtract) / divide. */
  preprocess(x: Value, transform: PixelTransform): Value;
  convolve(x: Value, convolution: Convolution): Value;
  normalize(x: Value, normalization: Normalization): Value;
  relu(x: Value, name: string): Value;
  /** Takes every second row and column, then pads the channels with zeros on both sides. */
  subsample(x: Value, subsampling: Subsampling): Value;
  add(x: Value, y: Value, name: string): Value;
  /** Averages over rows and columns. */
  pool(x: Value, shape: { size: number; channels: number }): Value;
  dense(x: Value, dense: Dense): Value;
}

/** Preprocessing without the channel order: kernelForRgb reorders the channels of the stem's kernel instead. */
export type PixelTransform = Pick<InputTransform, 'subtract' | 'divide'>;

/** Calls the writer for each layer, in order, and returns the logits. */
export function writeNetwork<Value>(
  model: Pick<TrainedModel, 'layout' | 'weights' | 'movingStatistics' | 'preprocessing'>,
  writer: NetworkWriter<Value>,
): Value {
  const { layout, weights, movingStatistics } = model;
  const transform = inputTransformOf(model.preprocessing, layout.data.channels);
  const pathOf = (array: ArrayLayout) => array.name.slice(0, array.name.lastIndexOf('/'));

  function convolve(
    x: Value,
    { kernel, bias, ...shape }: ConvLayer,
    reorder = (values: Float32Array) => values,
  ): Value {
    return writer.convolve(x, {
      ...shape,
      name: pathOf(kernel),
      kernel: reorder(arrayOf(weights, kernel)),
      bias: bias && arrayOf(weights, bias),
    });
  }
  function normalize(x: Value, { channels, gamma, beta, mean, variance }: BatchNormLayer): Value {
    return writer.normalize(x, {
      name: pathOf(gamma),
      channels,
      gamma: arrayOf(weights, gamma),
      beta: arrayOf(weights, beta),
      mean: arrayOf(movingStatistics, mean),
      variance: arrayOf(movingStatistics, variance),
      epsilon: layout.spec.bnEpsilon,
    });
  }

  const { conv, bn } = layout.stem;
  let x = writer.preprocess(writer.input(), transform);
  x = normalize(
    convolve(x, conv, (kernel) => kernelForRgb(kernel, conv, transform.channelOrder)),
    bn,
  );
  x = writer.relu(x, 'stem/relu');
  for (const { name, conv1, bn1, conv2, bn2, projection } of layout.blocks) {
    const inner = writer.relu(normalize(convolve(x, conv1), bn1), `${name}/relu1`);
    const residual = normalize(convolve(inner, conv2), bn2);
    let shortcut = x;
    if (projection !== null) {
      shortcut = convolve(x, projection);
    } else if (conv1.stride === 2) {
      const { inputChannels, inputSize, outputChannels } = conv1;
      const channelPadding = (outputChannels - inputChannels) / 2;
      shortcut = writer.subsample(x, { name: `${name}/shortcut`, inputChannels, inputSize, channelPadding });
    }
    x = writer.relu(writer.add(residual, shortcut, `${name}/add`), `${name}/relu2`);
  }
  const { outputSize: size, outputChannels: channels } = layout.blocks.at(-1)!.conv2;
  const { kernel, bias } = layout.dense;
  return writer.dense(writer.pool(x, { size, channels }), {
    name: 'dense',
    inputs: kernel.shape[0],
    outputs: kernel.shape[1],
    kernel: arrayOf(weights, kernel),
    bias: arrayOf(weights, bias),
  });
}

/**
 * Reorders the input channels of the stem's kernel to red, green, blue.
 * @param channelOrder color of each of the network's input channels (0 red or gray, 1 green, 2 blue)
 */
function kernelForRgb(kernel: Float32Array, conv: ConvLayer, channelOrder: readonly number[]): Float32Array {
  const { inputChannels, outputChannels } = conv;
  const reordered = new Float32Array(kernel.length);
  for (let tap = 0; tap < kernel.length; tap += inputChannels * outputChannels) {
    for (const [channel, raw] of channelOrder.entries()) {
      const from = tap + channel * outputChannels;
      reordered.set(kernel.subarray(from, from + outputChannels), tap + raw * outputChannels);
    }
  }
  return reordered;
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
    model: nameOf(layout),
    input:
      `${inputName}: float32 [${inputShapeOf(layout).join(', ')}], ${describeChannels(layout)}, 0 to 255; the preprocessing ` +
      `(${preprocessingName(preprocessing)}) is part of the model`,
    output: `${outputName}: float32 [N, ${layout.data.classCount}], before the softmax`,
    // Names of folders may contain commas.
    classes: classNames.some((name) => name.includes(',')) ? JSON.stringify(classNames) : classNames.join(','),
    depth: String(layout.spec.depth),
    shortcut: layout.spec.shortcut,
    step: String(step),
    weightsSha256,
  };
}

/** Returns the name of the network, such as `resnet20`. */
export function nameOf(layout: ModelLayout): string {
  return `resnet${layout.spec.depth}`;
}

// The network of an exported file, from pixels to logits, as calls to a writer for one format.
import { preprocessingName, type Preprocessing } from '../../shared/dataset/image-batch.js';
import { inputTransformOf, type InputTransform } from '../../shared/dataset/input-transform.js';
import {
  arrayOf,
  type ArrayLayout,
  type BatchNormLayer,
  type ConvLayer,
  type ModelLayout,
} from '../../shared/network/layout.js';

/** A trained network, with the metadata of an exported file. */
export interface TrainedModel {
  layout: ModelLayout;
  /** The trainable weights. */
  weights: Float32Array;
  movingStatistics: Float32Array;
  preprocessing: Preprocessing;
  /** In the order of the logits. */
  classNames: readonly string[];
  /** Number of steps it was trained. */
  step: number;
  /** See weightsSha256 in shared/network/layout-hash.ts. */
  weightsSha256: string;
}

/** Name of the input: float32 [N, 32, 32, 3], with red, green and blue from 0 to 255. */
export const inputName = 'images';
/** Name of the output: float32 [N, 10]. */
export const outputName = 'logits';

/** A convolution with its weights and SAME padding as in TensorFlow. */
export interface Convolution extends Pick<
  ConvLayer,
  'kernelSize' | 'stride' | 'inputChannels' | 'outputChannels' | 'inputSize' | 'outputSize'
> {
  /** For example `group2/block1/conv1`. */
  name: string;
  /** [height, width, in, out] */
  kernel: Float32Array;
  bias: Float32Array | null;
}

/** Batch norm at inference, with moving statistics. */
export interface Normalization {
  name: string;
  channels: number;
  gamma: Float32Array;
  beta: Float32Array;
  mean: Float32Array;
  variance: Float32Array;
  epsilon: number;
}

/** An identity shortcut that halves the image and doubles the channels. */
export interface Subsampling {
  name: string;
  inputChannels: number;
  inputSize: number;
  /** Number of zero channels before and after. */
  channelPadding: number;
}

export interface Dense {
  name: string;
  inputs: number;
  outputs: number;
  /** [in, out] */
  kernel: Float32Array;
  bias: Float32Array;
}

/** Writes layers in one format. A Value refers to the output of a layer; images are [N, row, column, channel]. */
export interface NetworkWriter<Value> {
  input(): Value;
  /** (pixel − subtract) / divide */
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

/** Preprocessing without the channel order, which is part of the stem's kernel. */
export type PixelTransform = Pick<InputTransform, 'subtract' | 'divide'>;

/** Calls the writer for each layer, in order. @returns the logits */
export function writeNetwork<Value>(
  model: Pick<TrainedModel, 'layout' | 'weights' | 'movingStatistics' | 'preprocessing'>,
  writer: NetworkWriter<Value>,
): Value {
  const { layout, weights, movingStatistics } = model;
  const transform = inputTransformOf(model.preprocessing);
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
 * Reorders the stem's kernel for channels in the order red, green, blue.
 * @param channelOrder the network's first, second and third channel (0 red, 1 green, 2 blue)
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

/** Metadata for formats that support it. */
export function describeModel(model: TrainedModel): Record<string, string> {
  const { layout, classNames, step, weightsSha256, preprocessing } = model;
  return {
    model: nameOf(layout),
    input:
      `${inputName}: float32 [N, 32, 32, 3], channels red, green, blue, 0 to 255; the preprocessing ` +
      `(${preprocessingName(preprocessing)}) is part of the model`,
    output: `${outputName}: float32 [N, 10], before the softmax`,
    classes: classNames.join(','),
    depth: String(layout.spec.depth),
    shortcut: layout.spec.shortcut,
    step: String(step),
    weightsSha256,
  };
}

/** `resnet20` */
export function nameOf(layout: ModelLayout): string {
  return `resnet${layout.spec.depth}`;
}

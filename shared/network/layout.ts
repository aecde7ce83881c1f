// Names, shapes and offsets of the ResNet's arrays in the flat float32 vectors used by engines, checkpoints and the
// protocol. Pure.
import { LockstepError } from '../errors.js';
import type { NetworkGraph } from './graph.js';
import type { ArrayLayout, Layer, WeightArray } from './layers.js';
import { layersOf } from './layers-of-graph.js';
import { resnet, type ResnetOptions } from './networks/resnet.js';
import { badNode, describeShape } from './shapes.js';

export type { ArrayLayout, Layer, WeightArray } from './layers.js';
export type { Shortcut } from './networks/resnet.js';

/** What a network needs to know about the images that it classifies. */
export interface DataShape {
  /** Height and width of an image in pixels. */
  height: number;
  width: number;
  /** Number of color channels: 1 for gray, or 3 for red, green and blue. */
  channels: 1 | 3;
  classCount: number;
}

/** Minimum height and width of an image: the last of the three groups then still has 2×2 pixels. */
const minImageSize = 8;

/** Parameters that determine the model's arrays and its forward pass. */
export type ModelSpec = ResnetOptions;

export interface ConvLayer {
  kernel: ArrayLayout;
  bias: ArrayLayout | null;
  /** Height and width of the kernel: 3, or 1 for a projection. */
  kernelSize: number;
  inputChannels: number;
  outputChannels: number;
  /**
   * Stride: 1 or 2. Padding is TensorFlow's SAME: a 3×3 kernel with stride 2 and an even input size gets one row of
   * padding at the bottom and one column at the right; with an odd size, it gets one on each side.
   */
  stride: number;
  /** Height and width of the input; `outputSize` is that of the output: with stride 2 half as many, rounded up. */
  inputSize: number;
  outputSize: number;
}

export interface BatchNormLayer {
  gamma: ArrayLayout;
  beta: ArrayLayout;
  /** Mean, in the statistics vector. */
  mean: ArrayLayout;
  /** Biased variance, in the statistics vector: divided by the count, not by the count minus one. */
  variance: ArrayLayout;
  channels: number;
}

export interface ResidualBlock {
  name: string;
  conv1: ConvLayer;
  bn1: BatchNormLayer;
  conv2: ConvLayer;
  bn2: BatchNormLayer;
  /** 1×1 convolution with stride 2 and no batch norm; null if the shortcut has no weights. */
  projection: ConvLayer | null;
}

/**
 * A network for images of one shape, with its arrays in two flat vectors. The first holds the weights, or their
 * gradients. The second holds moving statistics or batch statistics: for each batch norm, the mean, then the variance.
 */
export interface NetworkLayout {
  graph: NetworkGraph;
  /** The images that the network takes. */
  data: DataShape;
  /** The input, then the nodes of the graph. The last layer computes the logits. */
  layers: readonly Layer[];
  weights: readonly WeightArray[];
  /** Number of elements in the vector of the weights. */
  weightsSize: number;
  statistics: readonly ArrayLayout[];
  /** Number of elements in the statistics vector. */
  statisticsSize: number;
}

/** The parts of a ResNet by name, for code that does not read the layers yet. */
export interface ModelLayout extends NetworkLayout {
  spec: ModelSpec;
  stem: { conv: ConvLayer; bn: BatchNormLayer };
  blocks: readonly ResidualBlock[];
  dense: { kernel: ArrayLayout; bias: ArrayLayout };
}

/**
 * Maximum number of weights and moving statistics, which travel in one message. A ResNet with 2,000 layers and 16 filters
 * has 31 million.
 */
export const maxNetworkValues = 1 << 26;

/**
 * Lays out a valid graph for images of this shape. Throws `bad-config`, naming the node, if shapes do not fit or the
 * network is too large.
 */
export function layoutNetwork(graph: NetworkGraph, data: DataShape): ModelLayout {
  const { height, width, channels, classCount } = data;
  const derived = layersOf(graph, [height, width, channels], classCount);
  const values = derived.weightsSize + derived.statisticsSize;
  if (values > maxNetworkValues) {
    const largest = derived.weights.reduce((a, b) => (b.size > a.size ? b : a));
    throw new LockstepError(
      'bad-config',
      `the network ${graph.name} has ${values} weights and moving statistics: it must have at most ${maxNetworkValues}. Its ` +
        `largest array is ${largest.name} with ${largest.size} weights`,
    );
  }
  const { shape } = derived.layers.at(-1)!;
  if (shape.length !== 1 || shape[0] !== classCount) {
    throw badNode(
      graph.nodes.at(-1)!,
      `the last node has the output shape ${describeShape(shape)}, but the dataset has ${classCount} classes: end the network ` +
        'with a dense node whose units are "classes"',
    );
  }
  return withResnetParts({ graph, data: { height, width, channels, classCount }, ...derived });
}

/** Throws `bad-config` if the depth is not 6n+2 or the filters are not a positive multiple of 4. */
export function assertModelSpec({ depth, initialFilters }: ModelSpec): void {
  const blocksPerGroup = (depth - 2) / 6;
  if (!Number.isInteger(blocksPerGroup) || blocksPerGroup < 1) {
    throw new LockstepError('bad-config', `depth is ${depth}: it must be 6n+2, for example 20, 32, 44, 56 or 110`);
  }
  if (!Number.isInteger(initialFilters) || initialFilters < 4 || initialFilters % 4 !== 0) {
    throw new LockstepError(
      'bad-config',
      `initialFilters is ${initialFilters}: it must be a positive multiple of 4, because the identity shortcut pads a quarter of the channels on each side`,
    );
  }
}

/** Throws `bad-data` if the images are not square or too small. */
function assertDataShape({ height, width }: DataShape): void {
  if (height === width && height >= minImageSize) return;
  throw new LockstepError(
    'bad-data',
    `the images have ${width}×${height} pixels: a ResNet needs square images of at least ${minImageSize}×${minImageSize} ` +
      'pixels, so import them again with another size',
  );
}

/** Lays out a ResNet for images of this shape. Throws the errors of assertModelSpec, and `bad-data` for the images. */
export function layoutModel(spec: ModelSpec, data: DataShape): ModelLayout {
  assertModelSpec(spec);
  return layoutNetwork(resnet(spec), data);
}

/** Adds the parts of a ResNet for CIFAR-10. Other networks do not have them, whatever the type says. */
function withResnetParts(layout: NetworkLayout): ModelLayout {
  const { graph, data } = layout;
  if (!/^resnet\d+$/.test(graph.name) || graph.channelOrder !== 'bgr') return layout as ModelLayout;
  assertDataShape(data);
  const array = (name: string) => [...layout.weights, ...layout.statistics].find((each) => each.name === name);
  const layerOf = (name: string) => layout.layers.find((layer) => layer.name === name)!;

  function conv(name: string): ConvLayer {
    const { inputShapes, shape } = layerOf(name);
    const kernel = array(`${name}/kernel`)!;
    return {
      kernel,
      bias: array(`${name}/bias`) ?? null,
      kernelSize: kernel.shape[0],
      inputChannels: kernel.shape[2],
      outputChannels: kernel.shape[3],
      stride: inputShapes[0][0] === shape[0] ? 1 : 2,
      inputSize: inputShapes[0][0],
      outputSize: shape[0],
    };
  }
  function batchNorm(name: string): BatchNormLayer {
    const gamma = array(`${name}/gamma`)!;
    return {
      gamma,
      beta: array(`${name}/beta`)!,
      mean: array(`${name}/moving_mean`)!,
      variance: array(`${name}/moving_variance`)!,
      channels: gamma.size,
    };
  }
  const names = layout.layers.flatMap(({ name }) => (name.endsWith('/conv1') ? [name.slice(0, -'/conv1'.length)] : []));
  const blocks = names.map((name) => ({
    name,
    conv1: conv(`${name}/conv1`),
    bn1: batchNorm(`${name}/bn1`),
    conv2: conv(`${name}/conv2`),
    bn2: batchNorm(`${name}/bn2`),
    projection: array(`${name}/projection/kernel`) === undefined ? null : conv(`${name}/projection`),
  }));
  const stem = conv('stem/conv');
  const { epsilon } = graph.nodes.find((node) => node.op === 'batchNorm')!;
  const spec = {
    depth: 2 * blocks.length + 2,
    initialFilters: stem.outputChannels,
    shortcut: blocks.some(({ projection }) => projection !== null) ? ('projection' as const) : ('identity' as const),
    convBias: stem.bias !== null,
    bnEpsilon: epsilon,
  };
  return {
    ...layout,
    spec,
    stem: { conv: stem, bn: batchNorm('stem/bn') },
    blocks,
    dense: { kernel: array('dense/kernel')!, bias: array('dense/bias')! },
  };
}

/** Returns a view of an array's elements in a flat vector. */
export function arrayOf(vector: Float32Array, array: ArrayLayout): Float32Array {
  return vector.subarray(array.offset, array.offset + array.size);
}

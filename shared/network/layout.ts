// Names, shapes and offsets of a network's arrays in the flat float32 vectors used by engines, checkpoints and the
// protocol. Pure.
import { LockstepError } from '../errors.js';
import type { NetworkGraph } from './graph.js';
import type { ArrayLayout, Layer, WeightArray } from './layers.js';
import { layersOf } from './layers-of-graph.js';
import { badNode, describeShape } from './shapes.js';

export type { ArrayLayout, Layer, WeightArray } from './layers.js';

/** What a network needs to know about the images that it classifies. */
export interface DataShape {
  /** Height and width of an image in pixels. */
  height: number;
  width: number;
  /** Number of color channels: 1 for gray, or 3 for red, green and blue. */
  channels: 1 | 3;
  classCount: number;
}

/**
 * A network for images of one shape, with its arrays in two flat vectors. The first holds the weights, or their
 * gradients. The second holds moving statistics or batch statistics: for each batch norm, the mean, then the variance.
 */
export interface ModelLayout {
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
  return { graph, data: { height, width, channels, classCount }, ...derived };
}

/** Throws `bad-config` if the network has no array to train, for example because all are frozen. */
export function assertTrainable({ graph, weights }: ModelLayout): void {
  if (weights.some(({ trainable }) => trainable)) return;
  throw new LockstepError(
    'bad-config',
    `the network ${graph.name} has no array to train: leave at least one array that is not frozen`,
  );
}

/** Returns a view of an array's elements in a flat vector. */
export function arrayOf(vector: Float32Array, array: ArrayLayout): Float32Array {
  return vector.subarray(array.offset, array.offset + array.size);
}

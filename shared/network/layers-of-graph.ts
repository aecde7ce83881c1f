// Derives the layers of a network from its graph: shapes, padding, and arrays in two flat vectors. Pure.
import {
  inputName,
  type BatchNormNode,
  type Conv2dNode,
  type DenseNode,
  type GraphNode,
  type Initializer,
  type NetworkGraph,
  type ReshapeNode,
  type ScaleNode,
  type WeightName,
} from './graph.js';
import type { ArrayLayout, Layer, Shape, WeightArray } from './layers.js';
import {
  badNode,
  concatShape,
  describeShape,
  imageShape,
  paddedShape,
  productShape,
  sameShape,
  shapesDiffer,
  sizeOf,
  vectorSize,
  windowsOf,
} from './shapes.js';

/** Layers in the order of the graph, after the input, and their arrays in the order of the two vectors. */
export interface LayersAndArrays {
  layers: readonly Layer[];
  weights: readonly WeightArray[];
  weightsSize: number;
  statistics: readonly ArrayLayout[];
  statisticsSize: number;
}

/**
 * Derives the layers of a valid graph for images of this shape. Throws `bad-config`, naming the node, if shapes do not
 * fit.
 * @param imageShape [height, width, channels]
 */
export function layersOf(graph: NetworkGraph, imageShape: Shape, classCount: number): LayersAndArrays {
  const builder = new LayerBuilder(imageShape, classCount);
  for (const node of graph.nodes) builder.add(node);
  const { layers, weights, statistics } = builder;
  return {
    layers,
    weights: weights.arrays,
    weightsSize: weights.size,
    statistics: statistics.arrays,
    statisticsSize: statistics.size,
  };
}

/** Lays out arrays one after the other in a flat vector. */
class VectorBuilder<Array extends ArrayLayout> {
  readonly arrays: Array[] = [];
  size = 0;

  add(name: string, shape: readonly number[], settings: Omit<Array, keyof ArrayLayout>): Array {
    const array = { name, shape, offset: this.size, size: sizeOf(shape), ...settings } as Array;
    this.arrays.push(array);
    this.size += array.size;
    return array;
  }
}

/** Initializers of arrays whose node does not specify one. */
const defaultInitializers = {
  kernel: 'heNormal',
  bias: 'zeros',
  gamma: 'ones',
  beta: 'zeros',
} as const satisfies Record<WeightName, Initializer>;

/** Maximum number of values in a layer's output per image: 64 MiB. Images of 224×224 pixels with 300 channels fit. */
const maxLayerValues = 1 << 24;

/** What a layer has in common with every other layer, except its output shape. */
type LayerPlace = Omit<Layer & { op: GraphNode['op'] }, 'op' | 'shape'>;

/** Adds the layers of a graph one after the other. */
export class LayerBuilder {
  readonly layers: Layer[];
  readonly weights = new VectorBuilder<WeightArray>();
  readonly statistics = new VectorBuilder<ArrayLayout>();
  readonly #classCount: number;
  readonly #indexOf = new Map<string, number>([[inputName, 0]]);

  constructor(imageShape: Shape, classCount: number) {
    this.layers = [{ op: 'input', name: inputName, index: 0, inputs: [], inputShapes: [], shape: imageShape }];
    this.#classCount = classCount;
  }

  add(node: GraphNode): void {
    const inputs = node.inputs.map((name) => this.#indexOf.get(name)!);
    const inputShapes = inputs.map((input) => this.layers[input].shape);
    const place = { name: node.name, index: this.layers.length, inputs, inputShapes };
    const layer = this.#layer(node, place);
    if (sizeOf(layer.shape) > maxLayerValues) {
      throw badNode(
        node,
        `its output has the shape ${describeShape(layer.shape)}, which is ${sizeOf(layer.shape)} values per image: at most ` +
          `${maxLayerValues} are allowed`,
      );
    }
    this.layers.push(layer);
    this.#indexOf.set(node.name, place.index);
  }

  #weights(node: GraphNode, name: WeightName, shape: Shape): WeightArray {
    const {
      trainable = true,
      learningRateFactor = 1,
      weightDecay = name === 'kernel',
      initializer = defaultInitializers[name],
    } = node.weights?.[name] ?? {};
    const isPlainKernel = node.op === 'conv2d' && node.groups === 1 && name === 'kernel';
    if ((initializer === 'dirac' || initializer === 'whitening') && !isPlainKernel) {
      throw badNode(
        node,
        `the initializer of its ${name} is ${initializer}: only a conv2d with one group can have a kernel with it`,
      );
    }
    const settings = { trainable, learningRateFactor, weightDecay, initializer };
    return this.weights.add(`${node.name}/${name}`, shape, settings);
  }

  #layer(node: GraphNode, place: LayerPlace): Layer {
    const { inputShapes } = place;
    const [shape] = inputShapes;
    switch (node.op) {
      case 'conv2d':
        return this.#conv2d(node, place);
      case 'dense':
        return this.#dense(node, place);
      case 'batchNorm':
        return this.#batchNorm(node, place);
      case 'maxPool':
      case 'averagePool': {
        const { op, poolSize, strides } = node;
        const [height, width, channels] = imageShape(node, shape);
        const windows = { size: poolSize, strides, padding: node.padding };
        const { count, padding } = windowsOf(node, [height, width], windows);
        return { ...place, op, poolSize, strides, padding, shape: [...count, channels] };
      }
      case 'globalAveragePool':
      case 'globalMaxPool':
        return { ...place, op: node.op, shape: [imageShape(node, shape)[2]] };
      case 'add':
        if (!inputShapes.every((each) => sameShape(each, shape))) throw shapesDiffer(node, inputShapes);
        return { ...place, op: node.op, shape };
      case 'multiply':
        return { ...place, op: node.op, shape: productShape(node, inputShapes) };
      case 'concat':
        return { ...place, op: node.op, shape: concatShape(node, inputShapes) };
      case 'pad': {
        const { op, rows, columns, channels } = node;
        return { ...place, op, rows, columns, channels, shape: paddedShape(node, shape) };
      }
      case 'flatten':
        return { ...place, op: node.op, shape: [sizeOf(shape)] };
      case 'reshape':
        return { ...place, op: node.op, shape: reshaped(node, shape) };
      case 'scale':
        return scaleLayer(node, place);
      case 'dropout':
        return { ...place, op: node.op, rate: node.rate, shape };
      case 'relu':
      case 'relu6':
      case 'gelu':
      case 'silu':
      case 'sigmoid':
        return { ...place, op: node.op, shape };
      default:
        return node satisfies never;
    }
  }

  #conv2d(node: Conv2dNode, place: LayerPlace): Layer {
    const { op, kernelSize, strides, groups, filters } = node;
    const [height, width, channels] = imageShape(node, place.inputShapes[0]);
    if (channels % groups !== 0 || filters % groups !== 0) {
      throw badNode(
        node,
        `groups is ${groups}: it must divide the number of input channels, which is ${channels}, and filters, which is ${filters}`,
      );
    }
    const windows = { size: kernelSize, strides, padding: node.padding };
    const { count, padding } = windowsOf(node, [height, width], windows);
    const kernel = this.#weights(node, 'kernel', [...kernelSize, channels / groups, filters]);
    if (kernel.initializer === 'whitening') assertWhitening(node, place);
    const bias = node.bias ? this.#weights(node, 'bias', [filters]) : null;
    return { ...place, op, filters, kernelSize, strides, groups, padding, kernel, bias, shape: [...count, filters] };
  }

  #dense(node: DenseNode, place: LayerPlace): Layer {
    const inputs = vectorSize(node, place.inputShapes[0]);
    const units = node.units === 'classes' ? this.#classCount : node.units;
    const kernel = this.#weights(node, 'kernel', [inputs, units]);
    const bias = node.bias ? this.#weights(node, 'bias', [units]) : null;
    return { ...place, op: node.op, units, kernel, bias, shape: [units] };
  }

  #batchNorm(node: BatchNormNode, place: LayerPlace): Layer {
    const { op, name, epsilon } = node;
    const [shape] = place.inputShapes;
    const channels = [shape.at(-1)!];
    const gamma = node.scale ? this.#weights(node, 'gamma', channels) : null;
    const beta = node.offset ? this.#weights(node, 'beta', channels) : null;
    const mean = this.statistics.add(`${name}/moving_mean`, channels, {});
    const variance = this.statistics.add(`${name}/moving_variance`, channels, {});
    return { ...place, op, epsilon, gamma, beta, mean, variance, shape };
  }
}

/** A whitening kernel has a filter, and its negative, for each direction in a patch of the images. */
function assertWhitening(node: Conv2dNode, { inputs, inputShapes: [[height, width, channels]] }: LayerPlace): void {
  const [rows, columns] = node.kernelSize;
  const most = 2 * rows * columns * channels;
  if (inputs[0] !== 0 || rows > height || columns > width) {
    throw badNode(node, `a whitening convolution takes windows of the images: its input must be "${inputName}"`);
  }
  if (node.filters % 2 !== 0 || node.filters > most) {
    const images = channels === 1 ? 'gray images' : 'images with colors';
    throw badNode(
      node,
      `filters is ${node.filters}: whitening ${images} with a kernel of ${rows}×${columns} makes an even number of at most ${most}`,
    );
  }
}

function reshaped(node: ReshapeNode, shape: Shape): Shape {
  if (sizeOf(node.shape) === sizeOf(shape)) return node.shape;
  throw badNode(
    node,
    `shape is ${describeShape(node.shape)}: it must have as many elements as the input, whose shape is ${describeShape(shape)}`,
  );
}

function scaleLayer(node: ScaleNode, place: LayerPlace): Layer {
  const [shape] = place.inputShapes;
  const channels = shape.at(-1)!;
  const perChannel = (name: 'factor' | 'offset') => {
    const values = [node[name]].flat();
    if (values.length === 1 || values.length === channels) return values;
    throw badNode(
      node,
      `${name} has ${values.length} values: it must be a number, or have one for each of the ${channels} channels`,
    );
  };
  return { ...place, op: node.op, factor: perChannel('factor'), offset: perChannel('offset'), shape };
}

// Builds the TensorFlow graph of a SavedModel or a TensorFlow.js graph model, with the weights as constants.
import { hasPixelMeans } from '../../shared/dataset/input-transform.js';
import type {
  BatchNormLayer,
  Conv2dLayer,
  DenseLayer,
  MultiplyLayer,
  PadLayer,
  PoolLayer,
  ScaleLayer,
  Shape,
} from '../../shared/network/layers.js';
import type { DataShape } from '../../shared/network/layout.js';
import {
  ExportedNetwork,
  factorShape,
  inputName,
  isDepthwise,
  outputName,
  writeNetwork,
  type NetworkLayer,
  type NetworkWriter,
  type PixelTransform,
  type TrainedModel,
} from './network.js';
import { UniqueNames } from './unique-names.js';

/** Names of TensorFlow data types. The message definitions contain their numbers. */
export type DataType = 'DT_FLOAT' | 'DT_INT32';

/** Value of an operation's attribute. In a shape, -1 means any size. */
export type Attribute =
  | { type: DataType }
  | { int: number }
  | { float: number }
  | { bool: boolean }
  | { string: string }
  | { ints: readonly number[] }
  | { shape: readonly number[] };

export interface ConstantValue {
  type: DataType;
  shape: readonly number[];
  values: Float32Array | Int32Array;
}

export interface GraphNode {
  name: string;
  operation: string;
  /** The inputs: `name` is the first output of a node, and `name:1` the second one. */
  inputs: readonly string[];
  attributes: Readonly<Record<string, Attribute>>;
  /** Value of a `Const` node. */
  value?: ConstantValue;
}

export function graphInputShape({ height, width, channels }: DataShape): readonly number[] {
  return [-1, height, width, channels];
}

const float = { T: { type: 'DT_FLOAT' } } as const;
const channelsLast = { data_format: { string: 'NHWC' } } as const;
const overAxes = { ...float, Tidx: { type: 'DT_INT32' }, keep_dims: { bool: false } } as const;

/** Returns the nodes of the graph in topological order, from the input to the output. */
export function tensorFlowGraphOf(model: TrainedModel): GraphNode[] {
  const network = new ExportedNetwork(model);
  const writer = new GraphWriter(network);
  writer.output(writeNetwork(network, writer));
  return writer.nodes;
}

class GraphWriter implements NetworkWriter<string> {
  readonly nodes: GraphNode[] = [];
  readonly #names = new UniqueNames(inputName, outputName);
  readonly #network: ExportedNetwork;
  readonly #data: DataShape;

  constructor(network: ExportedNetwork) {
    this.#network = network;
    this.#data = network.layout.data;
  }

  input(): string {
    const shape = graphInputShape(this.#data);
    const attributes = { dtype: { type: 'DT_FLOAT' }, shape: { shape } } as const;
    this.nodes.push({ name: inputName, operation: 'Placeholder', inputs: [], attributes });
    return inputName;
  }

  output(logits: string): void {
    this.nodes.push({ name: outputName, operation: 'Identity', inputs: [logits], attributes: float });
  }

  /** Adds a node, under another name if the name is taken. Returns its name. */
  #node(wanted: string, operation: string, inputs: readonly string[], attributes: GraphNode['attributes']): string {
    const name = this.#names.take(wanted);
    this.nodes.push({ name, operation, inputs, attributes });
    return name;
  }

  #constant(wanted: string, type: DataType, shape: Shape, values: Float32Array | Int32Array): string {
    const name = this.#names.take(wanted);
    const attributes = { dtype: { type } };
    this.nodes.push({ name, operation: 'Const', inputs: [], attributes, value: { type, shape, values } });
    return name;
  }

  #vector(name: string, values: ArrayLike<number>): string {
    return this.#constant(name, 'DT_FLOAT', [values.length], Float32Array.from(values));
  }

  #scalar(name: string, value: number): string {
    return this.#constant(name, 'DT_FLOAT', [], Float32Array.of(value));
  }

  #integers(name: string, shape: Shape, values: readonly number[]): string {
    return this.#constant(name, 'DT_INT32', shape, Int32Array.from(values));
  }

  preprocess(x: string, { subtract, divide, reversesChannels }: PixelTransform): string {
    const { height, width, channels } = this.#data;
    const shape = hasPixelMeans({ subtract, divide }) ? [height, width, channels] : [channels];
    const mean = this.#constant('preprocessing/mean', 'DT_FLOAT', shape, subtract);
    const centered = this.#node('preprocessing/centered', 'Sub', [x, mean], float);
    const divisor = this.#vector('preprocessing/divisor', divide);
    const scaled = this.#node('preprocessing/scaled', 'RealDiv', [centered, divisor], float);
    if (!reversesChannels) return scaled;
    const axis = this.#integers('preprocessing/channels/axis', [1], [3]);
    return this.#node('preprocessing/channels', 'ReverseV2', [scaled, axis], { ...float, Tidx: { type: 'DT_INT32' } });
  }

  layer(layer: NetworkLayer, inputs: readonly string[]): string {
    const [x] = inputs;
    const { name } = layer;
    switch (layer.op) {
      case 'conv2d':
        return this.#conv2d(layer, x);
      case 'dense':
        return this.#dense(layer, x);
      case 'batchNorm':
        return this.#batchNorm(layer, x);
      case 'relu':
        return this.#node(name, 'Relu', inputs, float);
      case 'relu6':
        return this.#node(name, 'Relu6', inputs, float);
      case 'sigmoid':
        return this.#node(name, 'Sigmoid', inputs, float);
      case 'silu':
        return this.#node(name, 'Mul', [x, this.#node(`${name}/sigmoid`, 'Sigmoid', inputs, float)], float);
      case 'gelu':
        return this.#gelu(name, x);
      case 'maxPool':
        return this.#pool('MaxPool', layer, x);
      case 'averagePool':
        return this.#pool('AvgPool', layer, x);
      case 'globalAveragePool':
        return this.#node(name, 'Mean', [x, this.#integers(`${name}/axes`, [2], [1, 2])], overAxes);
      case 'globalMaxPool':
        return this.#node(name, 'Max', [x, this.#integers(`${name}/axes`, [2], [1, 2])], overAxes);
      case 'add':
        return inputs.length === 2
          ? this.#node(name, 'AddV2', inputs, float)
          : this.#node(name, 'AddN', inputs, { ...float, N: { int: inputs.length } });
      case 'multiply':
        return this.#multiply(layer, inputs);
      case 'concat':
        return this.#concat(name, inputs, layer.shape.length);
      case 'pad':
        return this.#pad(layer, x);
      case 'flatten':
      case 'reshape':
        return this.#reshape(name, x, layer.shape);
      case 'dropout':
        return x;
      case 'scale':
        return this.#scale(layer, x);
      default:
        return layer satisfies never;
    }
  }

  #conv2d(layer: Conv2dLayer, x: string): string {
    const { name, kernel, bias, groups, filters, kernelSize, strides } = layer;
    const attributes = {
      ...float,
      ...channelsLast,
      strides: { ints: [1, ...strides, 1] },
      dilations: { ints: [1, 1, 1, 1] },
      padding: { string: this.#network.paddingModeOf(layer).toUpperCase() },
    };
    const values = this.#network.weightsOf(kernel);
    let convolved: string;
    if (isDepthwise(layer)) {
      const shape = [...kernelSize, groups, filters / groups];
      const kernelNode = this.#constant(`${name}/kernel`, 'DT_FLOAT', shape, values);
      convolved = this.#node(name, 'DepthwiseConv2dNative', [x, kernelNode], attributes);
    } else if (groups === 1) {
      const kernelNode = this.#constant(`${name}/kernel`, 'DT_FLOAT', kernel.shape, values);
      convolved = this.#node(name, 'Conv2D', [x, kernelNode], attributes);
    } else {
      // TensorFlow.js has no convolutions in groups, so each group becomes a convolution.
      const axis = this.#integers(`${name}/axis`, [], [3]);
      const split = this.#node(`${name}/split`, 'Split', [axis, x], { ...float, num_split: { int: groups } });
      const outputs = Array.from({ length: groups }, (_, group) => {
        const shape = [...kernel.shape.slice(0, 3), filters / groups];
        const part = kernelOfGroup(values, filters, groups, group);
        const kernelNode = this.#constant(`${name}/kernel${group}`, 'DT_FLOAT', shape, part);
        const input = group === 0 ? split : `${split}:${group}`;
        return this.#node(`${name}/group${group}`, 'Conv2D', [input, kernelNode], attributes);
      });
      convolved = this.#concat(name, outputs, 3);
    }
    return bias === null ? convolved : this.#addBias(convolved, name, this.#network.weightsOf(bias));
  }

  #addBias(x: string, name: string, bias: Float32Array): string {
    const biasNode = this.#vector(`${name}/bias`, bias);
    return this.#node(`${name}/biased`, 'BiasAdd', [x, biasNode], { ...float, ...channelsLast });
  }

  #dense({ name, kernel, bias }: DenseLayer, x: string): string {
    const kernelNode = this.#constant(`${name}/kernel`, 'DT_FLOAT', kernel.shape, this.#network.weightsOf(kernel));
    const product = this.#node(name, 'MatMul', [x, kernelNode], {
      ...float,
      transpose_a: { bool: false },
      transpose_b: { bool: false },
    });
    return bias === null ? product : this.#addBias(product, name, this.#network.weightsOf(bias));
  }

  #batchNorm(layer: BatchNormLayer, x: string): string {
    const { name, epsilon, shape } = layer;
    const vectors = this.#network.vectorsOf(layer);
    if (shape.length === 1) {
      // TensorFlow's operation takes only images.
      const { gamma, beta, moving_mean: mean, moving_variance: variance } = vectors;
      const factor = Array.from(gamma, (value, i) => value / Math.sqrt(variance[i] + epsilon));
      const offset = Array.from(beta, (value, i) => value - mean[i] * factor[i]);
      return this.#affine(name, x, this.#vector(`${name}/factor`, factor), this.#vector(`${name}/offset`, offset));
    }
    const inputs = Object.entries(vectors).map(([vector, values]) => this.#vector(`${name}/${vector}`, values));
    return this.#node(name, 'FusedBatchNormV3', [x, ...inputs], {
      ...float,
      ...channelsLast,
      U: { type: 'DT_FLOAT' },
      epsilon: { float: epsilon },
      is_training: { bool: false },
    });
  }

  #affine(name: string, x: string, factor: string, offset: string): string {
    return this.#node(name, 'AddV2', [this.#node(`${name}/product`, 'Mul', [x, factor], float), offset], float);
  }

  #scale({ name, factor, offset }: ScaleLayer, x: string): string {
    return this.#affine(name, x, this.#vector(`${name}/factor`, factor), this.#vector(`${name}/offset`, offset));
  }

  /** Computes x / 2 × (1 + erf(x / √2)). */
  #gelu(name: string, x: string): string {
    const root = this.#node(`${name}/scaled`, 'Mul', [x, this.#scalar(`${name}/factor`, Math.SQRT1_2)], float);
    const erf = this.#node(`${name}/erf`, 'Erf', [root], float);
    const above = this.#node(`${name}/above`, 'AddV2', [erf, this.#scalar(`${name}/one`, 1)], float);
    const half = this.#node(`${name}/half`, 'Mul', [x, this.#scalar(`${name}/factor2`, 0.5)], float);
    return this.#node(name, 'Mul', [half, above], float);
  }

  #pool(operation: string, layer: PoolLayer, x: string): string {
    return this.#node(layer.name, operation, [x], {
      ...float,
      ...channelsLast,
      ksize: { ints: [1, ...layer.poolSize, 1] },
      strides: { ints: [1, ...layer.strides, 1] },
      padding: { string: this.#network.paddingModeOf(layer).toUpperCase() },
    });
  }

  #multiply(layer: MultiplyLayer, [x, factor]: readonly string[]): string {
    const shape = factorShape(layer);
    const reshaped = shape === null ? factor : this.#reshape(`${layer.name}/factor`, factor, shape);
    return this.#node(layer.name, 'Mul', [x, reshaped], float);
  }

  #concat(name: string, inputs: readonly string[], axis: number): string {
    const axisNode = this.#integers(`${name}/axis`, [], [axis]);
    return this.#node(name, 'ConcatV2', [...inputs, axisNode], {
      ...float,
      Tidx: { type: 'DT_INT32' },
      N: { int: inputs.length },
    });
  }

  #pad({ name, rows, columns, channels }: PadLayer, x: string): string {
    const paddings = this.#integers(`${name}/paddings`, [4, 2], [0, 0, ...rows, ...columns, ...channels]);
    return this.#node(name, 'Pad', [x, paddings], { ...float, Tpaddings: { type: 'DT_INT32' } });
  }

  #reshape(name: string, x: string, shape: Shape): string {
    const shapeNode = this.#integers(`${name}/shape`, [shape.length + 1], [-1, ...shape]);
    return this.#node(name, 'Reshape', [x, shapeNode], { ...float, Tshape: { type: 'DT_INT32' } });
  }
}

/** Returns the filters of one group, [height, width, in / groups, filters / groups]. */
function kernelOfGroup(kernel: Float32Array, filters: number, groups: number, group: number): Float32Array {
  const own = filters / groups;
  const part = new Float32Array(kernel.length / groups);
  for (let row = 0; row < kernel.length / filters; row++) {
    const from = row * filters + group * own;
    part.set(kernel.subarray(from, from + own), row * own);
  }
  return part;
}

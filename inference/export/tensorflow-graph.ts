// Builds the TensorFlow graph of a SavedModel or a TensorFlow.js graph model, with the weights as constants.
import {
  inputName,
  outputName,
  writeNetwork,
  type Convolution,
  type Dense,
  type NetworkWriter,
  type Normalization,
  type PixelTransform,
  type Subsampling,
  type TrainedModel,
} from './network.js';
import { hasPixelMeans } from '../../shared/dataset/input-transform.js';
import type { DataShape } from '../../shared/network/layout.js';

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
  /** Names of the nodes whose first outputs are the inputs of this node. */
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

/** Returns the nodes of the graph in topological order, from the input to the output. */
export function tensorFlowGraphOf(model: TrainedModel): GraphNode[] {
  const writer = new GraphWriter(model.layout.data);
  const logits = writeNetwork(model, writer);
  writer.node(outputName, 'Identity', [logits], float);
  return writer.nodes;
}

class GraphWriter implements NetworkWriter<string> {
  readonly nodes: GraphNode[] = [];
  readonly #data: DataShape;

  constructor(data: DataShape) {
    this.#data = data;
  }

  node(name: string, operation: string, inputs: readonly string[], attributes: Record<string, Attribute>): string {
    this.nodes.push({ name, operation, inputs, attributes });
    return name;
  }

  #constant(name: string, type: DataType, shape: readonly number[], values: Float32Array | Int32Array): string {
    const attributes = { dtype: { type } };
    this.nodes.push({ name, operation: 'Const', inputs: [], attributes, value: { type, shape, values } });
    return name;
  }

  #vector(name: string, values: Float32Array): string {
    return this.#constant(name, 'DT_FLOAT', [values.length], values);
  }

  #integers(name: string, shape: readonly number[], values: readonly number[]): string {
    return this.#constant(name, 'DT_INT32', shape, Int32Array.from(values));
  }

  input(): string {
    const shape = graphInputShape(this.#data);
    return this.node(inputName, 'Placeholder', [], { dtype: { type: 'DT_FLOAT' }, shape: { shape } });
  }

  preprocess(x: string, { subtract, divide }: PixelTransform): string {
    const { height, width, channels } = this.#data;
    const shape = hasPixelMeans({ subtract, divide }) ? [height, width, channels] : [channels];
    const mean = this.#constant('preprocessing/mean', 'DT_FLOAT', shape, subtract);
    const centered = this.node('preprocessing/centered', 'Sub', [x, mean], float);
    const divisor = this.#vector('preprocessing/divisor', divide);
    return this.node('preprocessing/scaled', 'RealDiv', [centered, divisor], float);
  }

  convolve(x: string, convolution: Convolution): string {
    const { name, kernel, bias, kernelSize, stride, inputChannels, outputChannels } = convolution;
    const shape = [kernelSize, kernelSize, inputChannels, outputChannels];
    const kernelNode = this.#constant(`${name}/kernel`, 'DT_FLOAT', shape, kernel);
    const convolved = this.node(name, 'Conv2D', [x, kernelNode], {
      ...float,
      ...channelsLast,
      strides: { ints: [1, stride, stride, 1] },
      dilations: { ints: [1, 1, 1, 1] },
      padding: { string: 'SAME' },
    });
    return bias === null ? convolved : this.#addBias(convolved, name, bias);
  }

  #addBias(x: string, name: string, bias: Float32Array): string {
    const biasNode = this.#vector(`${name}/bias`, bias);
    return this.node(`${name}/biased`, 'BiasAdd', [x, biasNode], { ...float, ...channelsLast });
  }

  normalize(x: string, { name, gamma, beta, mean, variance, epsilon }: Normalization): string {
    const vectors = Object.entries({ gamma, beta, moving_mean: mean, moving_variance: variance });
    const inputs = [x, ...vectors.map(([vector, values]) => this.#vector(`${name}/${vector}`, values))];
    return this.node(name, 'FusedBatchNormV3', inputs, {
      ...float,
      ...channelsLast,
      U: { type: 'DT_FLOAT' },
      epsilon: { float: epsilon },
      is_training: { bool: false },
    });
  }

  relu(x: string, name: string): string {
    return this.node(name, 'Relu', [x], float);
  }

  subsample(x: string, { name, channelPadding }: Subsampling): string {
    // A window of one pixel with stride 2 takes every second pixel.
    const sampled = this.node(`${name}/sampled`, 'AvgPool', [x], {
      ...float,
      ...channelsLast,
      ksize: { ints: [1, 1, 1, 1] },
      strides: { ints: [1, 2, 2, 1] },
      padding: { string: 'VALID' },
    });
    const paddings = this.#integers(`${name}/paddings`, [4, 2], [0, 0, 0, 0, 0, 0, channelPadding, channelPadding]);
    return this.node(name, 'Pad', [sampled, paddings], { ...float, Tpaddings: { type: 'DT_INT32' } });
  }

  add(x: string, y: string, name: string): string {
    return this.node(name, 'AddV2', [x, y], float);
  }

  pool(x: string): string {
    const axes = this.#integers('pool/axes', [2], [1, 2]);
    return this.node('pool', 'Mean', [x, axes], { ...float, Tidx: { type: 'DT_INT32' }, keep_dims: { bool: false } });
  }

  dense(x: string, { name, kernel, bias, inputs, outputs }: Dense): string {
    const kernelNode = this.#constant(`${name}/kernel`, 'DT_FLOAT', [inputs, outputs], kernel);
    const product = this.node(name, 'MatMul', [x, kernelNode], {
      ...float,
      transpose_a: { bool: false },
      transpose_b: { bool: false },
    });
    return this.#addBias(product, name, bias);
  }
}

// Writes an ONNX model. Its input has the shape [N, row, column, channel], as in all other formats; the model itself
// transposes the input to [N, channel, row, column].
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
import { littleEndianBytes } from '../../shared/network/layout-hash.js';
import { lockstepVersion } from '../../shared/version.js';
import {
  describeModel,
  ExportedNetwork,
  factorShape,
  inputName,
  inputShapeOf,
  outputName,
  writeNetwork,
  type NetworkLayer,
  type NetworkWriter,
  type PixelTransform,
  type TrainedModel,
} from './network.js';
import { encodeOnnxModel, onnxFloat, onnxInt64 } from './onnx-messages.js';
import { UniqueNames } from './unique-names.js';

/** ONNX operator set from 2021; onnxruntime 1.10 and later support it. */
const operatorSet = 15;
const irVersion = 8;

export function writeOnnx(model: TrainedModel): Uint8Array {
  const network = new ExportedNetwork(model);
  const writer = new OnnxWriter(network);
  writer.output(writeNetwork(network, writer));
  return encodeOnnxModel({
    ir_version: irVersion,
    producer_name: 'lockstep',
    producer_version: lockstepVersion,
    opset_import: [{ domain: '', version: operatorSet }],
    metadata_props: Object.entries(describeModel(model)).map(([key, value]) => ({ key, value })),
    graph: {
      name: model.layout.graph.name,
      node: writer.nodes,
      initializer: writer.initializers,
      input: [tensorOf(inputName, inputShapeOf(model.layout))],
      output: [tensorOf(outputName, ['N', model.layout.data.classCount])],
    },
  });
}

function tensorOf(name: string, shape: readonly (number | string)[]) {
  const dim = shape.map((size) => (typeof size === 'string' ? { dim_param: size } : { dim_value: size }));
  return { name, type: { tensor_type: { elem_type: onnxFloat, shape: { dim } } } };
}

interface Attribute {
  type: 'FLOAT' | 'INT' | 'INTS';
  f?: number;
  i?: number;
  ints?: readonly number[];
}
type Attributes = Record<string, Attribute>;

const ints = (...values: number[]): Attribute => ({ type: 'INTS', ints: values });
const int = (value: number): Attribute => ({ type: 'INT', i: value });
const float = (value: number): Attribute => ({ type: 'FLOAT', f: value });

/** Writes nodes for images [N, channel, row, column] and vectors [N, n]. */
class OnnxWriter implements NetworkWriter<string> {
  readonly nodes: object[] = [];
  readonly initializers: object[] = [];
  readonly #names = new UniqueNames(inputName, outputName);
  readonly #network: ExportedNetwork;

  constructor(network: ExportedNetwork) {
    this.#network = network;
  }

  input(): string {
    return inputName;
  }

  output(logits: string): void {
    this.#add(outputName, 'Identity', [logits], {});
  }

  /** Adds a node with one output, which has the same name as the node. */
  #add(name: string, operation: string, inputs: readonly string[], attributes: Attributes): string {
    const attribute = Object.entries(attributes).map(([key, value]) => Object.assign(value, { name: key }));
    this.nodes.push({ name, op_type: operation, input: inputs, output: [name], attribute });
    return name;
  }

  /** Adds a node, under another name if the name is taken. Returns its name. */
  #node(wanted: string, operation: string, inputs: readonly string[], attributes: Attributes = {}): string {
    return this.#add(this.#names.take(wanted), operation, inputs, attributes);
  }

  #floats(wanted: string, dims: Shape, values: Float32Array): string {
    const name = this.#names.take(wanted);
    this.initializers.push({ name, dims, data_type: onnxFloat, raw_data: littleEndianBytes(values) });
    return name;
  }

  #scalar(name: string, value: number): string {
    return this.#floats(name, [], Float32Array.of(value));
  }

  #integers(wanted: string, values: readonly number[]): string {
    const name = this.#names.take(wanted);
    const bytes = littleEndianBytes(BigInt64Array.from(values, BigInt));
    this.initializers.push({ name, dims: [values.length], data_type: onnxInt64, raw_data: bytes });
    return name;
  }

  preprocess(x: string, { subtract, divide, reversesChannels }: PixelTransform): string {
    const { height, width, channels } = this.#network.layout.data;
    const shape = hasPixelMeans({ subtract, divide }) ? [height, width, channels] : [channels];
    const mean = this.#floats('preprocessing/mean', shape, subtract);
    const centered = this.#node('preprocessing/centered', 'Sub', [x, mean]);
    const divisor = this.#floats('preprocessing/divisor', [divide.length], divide);
    let prepared = this.#node('preprocessing/scaled', 'Div', [centered, divisor]);
    if (reversesChannels) {
      const order = this.#integers('preprocessing/channels/order', [2, 1, 0]);
      prepared = this.#node('preprocessing/channels', 'Gather', [prepared, order], { axis: int(3) });
    }
    return this.#channelsFirst('preprocessing/channels-first', prepared);
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
        return this.#node(name, 'Relu', inputs);
      case 'relu6':
        return this.#node(name, 'Clip', [x, this.#scalar(`${name}/min`, 0), this.#scalar(`${name}/max`, 6)]);
      case 'sigmoid':
        return this.#node(name, 'Sigmoid', inputs);
      case 'silu':
        return this.#node(name, 'Mul', [x, this.#node(`${name}/sigmoid`, 'Sigmoid', inputs)]);
      case 'gelu':
        return this.#gelu(name, x);
      case 'maxPool':
        return this.#pool('MaxPool', layer, x);
      case 'averagePool':
        // By default, padding does not count.
        return this.#pool('AveragePool', layer, x);
      case 'globalAveragePool':
        return this.#flat(`${name}/flat`, this.#node(name, 'GlobalAveragePool', inputs));
      case 'globalMaxPool':
        return this.#flat(`${name}/flat`, this.#node(name, 'GlobalMaxPool', inputs));
      case 'add':
        return this.#node(name, inputs.length === 2 ? 'Add' : 'Sum', inputs);
      case 'multiply':
        return this.#multiply(layer, inputs);
      case 'concat':
        return this.#node(name, 'Concat', inputs, { axis: int(1) });
      case 'pad':
        return this.#pad(layer, x);
      case 'flatten':
      case 'reshape':
        return this.#reshape(name, x, layer.inputShapes[0], layer.shape);
      case 'dropout':
        return x;
      case 'scale':
        return this.#scale(layer, x);
      default:
        return layer satisfies never;
    }
  }

  #conv2d({ name, kernel, bias, groups, kernelSize, strides, padding }: Conv2dLayer, x: string): string {
    const [, , inputChannels, outputChannels] = kernel.shape;
    const shape = [outputChannels, inputChannels, ...kernelSize];
    const values = kernelChannelsFirst(this.#network.weightsOf(kernel), inputChannels, outputChannels);
    const inputs = [x, this.#floats(`${name}/kernel`, shape, values)];
    if (bias !== null) inputs.push(this.#floats(`${name}/bias`, bias.shape, this.#network.weightsOf(bias)));
    return this.#node(name, 'Conv', inputs, {
      kernel_shape: ints(...kernelSize),
      strides: ints(...strides),
      pads: ints(padding.top, padding.left, padding.bottom, padding.right),
      group: int(groups),
    });
  }

  #dense({ name, kernel, bias }: DenseLayer, x: string): string {
    const inputs = [x, this.#floats(`${name}/kernel`, kernel.shape, this.#network.weightsOf(kernel))];
    if (bias !== null) inputs.push(this.#floats(`${name}/bias`, bias.shape, this.#network.weightsOf(bias)));
    return this.#node(name, 'Gemm', inputs);
  }

  #batchNorm(layer: BatchNormLayer, x: string): string {
    const { name, epsilon } = layer;
    const vectors = Object.entries(this.#network.vectorsOf(layer));
    const inputs = vectors.map(([vector, values]) => this.#floats(`${name}/${vector}`, [values.length], values));
    return this.#node(name, 'BatchNormalization', [x, ...inputs], { epsilon: float(epsilon) });
  }

  /** Computes x / 2 × (1 + erf(x / √2)), because the operator set has no Gelu. */
  #gelu(name: string, x: string): string {
    const root = this.#node(`${name}/scaled`, 'Mul', [x, this.#scalar(`${name}/factor`, Math.SQRT1_2)]);
    const erf = this.#node(`${name}/erf`, 'Erf', [root]);
    const above = this.#node(`${name}/above`, 'Add', [erf, this.#scalar(`${name}/one`, 1)]);
    const half = this.#node(`${name}/half`, 'Mul', [x, this.#scalar(`${name}/factor2`, 0.5)]);
    return this.#node(name, 'Mul', [half, above]);
  }

  #pool(operation: string, { name, poolSize, strides, padding }: PoolLayer, x: string): string {
    return this.#node(name, operation, [x], {
      kernel_shape: ints(...poolSize),
      strides: ints(...strides),
      pads: ints(padding.top, padding.left, padding.bottom, padding.right),
    });
  }

  #multiply(layer: MultiplyLayer, [x, factor]: readonly string[]): string {
    const { name, inputShapes } = layer;
    const shape = factorShape(layer);
    const reshaped = shape === null ? factor : this.#reshape(`${name}/factor`, factor, inputShapes[1], shape);
    return this.#node(name, 'Mul', [x, reshaped]);
  }

  #pad({ name, rows, columns, channels }: PadLayer, x: string): string {
    // The padding before each of the four dimensions, followed by the padding after each.
    const [before, after] = [0, 1].map((side) => [0, channels[side], rows[side], columns[side]]);
    return this.#node(name, 'Pad', [x, this.#integers(`${name}/pads`, [...before, ...after])]);
  }

  #scale({ name, factor, offset, shape }: ScaleLayer, x: string): string {
    const perChannel = (values: readonly number[]) => (shape.length === 1 ? [values.length] : [values.length, 1, 1]);
    const factors = this.#floats(`${name}/factor`, perChannel(factor), Float32Array.from(factor));
    const offsets = this.#floats(`${name}/offset`, perChannel(offset), Float32Array.from(offset));
    return this.#node(name, 'Add', [this.#node(`${name}/product`, 'Mul', [x, factors]), offsets]);
  }

  /** Reshapes images and vectors. The order of the elements is always that of [row, column, channel]. */
  #reshape(name: string, x: string, from: Shape, to: Shape): string {
    const rows = from.length === 3 ? this.#channelsLast(`${name}/channels-last`, x) : x;
    if (to.length === 1) return this.#flat(name, rows);
    const shape = this.#integers(`${name}/shape`, [-1, ...to]);
    return this.#channelsFirst(name, this.#node(`${name}/reshaped`, 'Reshape', [rows, shape]));
  }

  #flat(name: string, x: string): string {
    return this.#node(name, 'Flatten', [x], { axis: int(1) });
  }

  #channelsFirst(name: string, x: string): string {
    return this.#node(name, 'Transpose', [x], { perm: ints(0, 3, 1, 2) });
  }

  #channelsLast(name: string, x: string): string {
    return this.#node(name, 'Transpose', [x], { perm: ints(0, 2, 3, 1) });
  }
}

/** Transposes a kernel from [height, width, in, out] to [out, in, height, width]. */
function kernelChannelsFirst(kernel: Float32Array, inputChannels: number, outputChannels: number): Float32Array {
  const taps = kernel.length / (inputChannels * outputChannels);
  const transposed = new Float32Array(kernel.length);
  for (let tap = 0; tap < taps; tap++) {
    for (let i = 0; i < inputChannels; i++) {
      for (let o = 0; o < outputChannels; o++) {
        transposed[(o * inputChannels + i) * taps + tap] = kernel[(tap * inputChannels + i) * outputChannels + o];
      }
    }
  }
  return transposed;
}

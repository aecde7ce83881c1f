// Writes an ONNX model. Its input has the shape [N, row, column, channel], as in all other formats; the model itself
// transposes the input to [N, channel, row, column].
import { littleEndianBytes } from '../../shared/network/layout-hash.js';
import { hasPixelMeans } from '../../shared/dataset/input-transform.js';
import type { DataShape } from '../../shared/network/layout.js';
import { lockstepVersion } from '../../shared/version.js';
import {
  describeModel,
  inputName,
  inputShapeOf,
  nameOf,
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
import { encodeOnnxModel, onnxFloat, onnxInt64 } from './onnx-messages.js';

/** ONNX operator set from 2021; onnxruntime 1.10 and later support it. */
const operatorSet = 15;
const irVersion = 8;

export function writeOnnx(model: TrainedModel): Uint8Array {
  const writer = new OnnxWriter(model.layout.data);
  const logits = writeNetwork(model, writer);
  writer.node(outputName, 'Identity', [logits]);
  return encodeOnnxModel({
    ir_version: irVersion,
    producer_name: 'lockstep',
    producer_version: lockstepVersion,
    opset_import: [{ domain: '', version: operatorSet }],
    metadata_props: Object.entries(describeModel(model)).map(([key, value]) => ({ key, value })),
    graph: {
      name: nameOf(model.layout),
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

type OnnxAttributes = Record<string, { type: 'FLOAT'; f: number } | { type: 'INT'; i: number } | Ints>;
interface Ints {
  type: 'INTS';
  ints: readonly number[];
}

function ints(...values: number[]): Ints {
  return { type: 'INTS', ints: values };
}

class OnnxWriter implements NetworkWriter<string> {
  readonly nodes: object[] = [];
  readonly initializers: object[] = [];
  readonly #data: DataShape;

  constructor(data: DataShape) {
    this.#data = data;
  }

  /** Adds a node with one output, which has the same name as the node. */
  node(name: string, operation: string, inputs: readonly string[], attributes: OnnxAttributes = {}): string {
    const attribute = Object.entries(attributes).map(([name, value]) => Object.assign(value, { name }));
    this.nodes.push({ name, op_type: operation, input: inputs, output: [name], attribute });
    return name;
  }

  #floats(name: string, dims: readonly number[], values: Float32Array): string {
    this.initializers.push({ name, dims, data_type: onnxFloat, raw_data: littleEndianBytes(values) });
    return name;
  }

  #integers(name: string, values: readonly number[]): string {
    const bytes = littleEndianBytes(BigInt64Array.from(values, BigInt));
    this.initializers.push({ name, dims: [values.length], data_type: onnxInt64, raw_data: bytes });
    return name;
  }

  input(): string {
    return inputName;
  }

  preprocess(x: string, { subtract, divide }: PixelTransform): string {
    const { height, width, channels } = this.#data;
    const shape = hasPixelMeans({ subtract, divide }) ? [height, width, channels] : [channels];
    const centered = this.node('preprocessing/centered', 'Sub', [
      x,
      this.#floats('preprocessing/mean', shape, subtract),
    ]);
    const divisor = this.#floats('preprocessing/divisor', [divide.length], divide);
    const scaled = this.node('preprocessing/scaled', 'Div', [centered, divisor]);
    return this.node('preprocessing/channels-first', 'Transpose', [scaled], { perm: ints(0, 3, 1, 2) });
  }

  convolve(x: string, convolution: Convolution): string {
    const { name, kernel, bias, kernelSize, stride, inputChannels, outputChannels } = convolution;
    const shape = [outputChannels, inputChannels, kernelSize, kernelSize];
    const inputs = [x, this.#floats(`${name}/kernel`, shape, channelsFirst(kernel, inputChannels, outputChannels))];
    if (bias !== null) inputs.push(this.#floats(`${name}/bias`, [outputChannels], bias));
    const { before, after } = samePadding(convolution);
    return this.node(name, 'Conv', inputs, {
      kernel_shape: ints(kernelSize, kernelSize),
      strides: ints(stride, stride),
      pads: ints(before, before, after, after),
    });
  }

  normalize(x: string, { name, channels, gamma, beta, mean, variance, epsilon }: Normalization): string {
    const vectors = Object.entries({ gamma, beta, moving_mean: mean, moving_variance: variance });
    const inputs = [x, ...vectors.map(([vector, values]) => this.#floats(`${name}/${vector}`, [channels], values))];
    return this.node(name, 'BatchNormalization', inputs, { epsilon: { type: 'FLOAT', f: epsilon } });
  }

  relu(x: string, name: string): string {
    return this.node(name, 'Relu', [x]);
  }

  subsample(x: string, { name, channelPadding }: Subsampling): string {
    // A window of one pixel with stride 2 takes every second pixel.
    const sampled = this.node(`${name}/sampled`, 'AveragePool', [x], { kernel_shape: ints(1, 1), strides: ints(2, 2) });
    // The padding before each of the four dimensions, followed by the padding after each.
    const pads = this.#integers(`${name}/pads`, [0, channelPadding, 0, 0, 0, channelPadding, 0, 0]);
    return this.node(name, 'Pad', [sampled, pads]);
  }

  add(x: string, y: string, name: string): string {
    return this.node(name, 'Add', [x, y]);
  }

  pool(x: string): string {
    const means = this.node('pool', 'GlobalAveragePool', [x]);
    return this.node('pool/flat', 'Flatten', [means], { axis: { type: 'INT', i: 1 } });
  }

  dense(x: string, { name, kernel, bias, inputs, outputs }: Dense): string {
    const values = [
      this.#floats(`${name}/kernel`, [inputs, outputs], kernel),
      this.#floats(`${name}/bias`, [outputs], bias),
    ];
    return this.node(name, 'Gemm', [x, ...values]);
  }
}

/** Transposes a kernel from [height, width, in, out] to [out, in, height, width]. */
function channelsFirst(kernel: Float32Array, inputChannels: number, outputChannels: number): Float32Array {
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

/** Returns SAME padding as in TensorFlow: if the total is odd, the additional row or column is added at the end. */
function samePadding({ kernelSize, stride, inputSize, outputSize }: Convolution): { before: number; after: number } {
  const zeros = Math.max((outputSize - 1) * stride + kernelSize - inputSize, 0);
  const before = Math.floor(zeros / 2);
  return { before, after: zeros - before };
}

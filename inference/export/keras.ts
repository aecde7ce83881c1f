// Writes a .keras file: a zip file with the configuration of the Keras layers in JSON and the weights in HDF5. Uses
// only built-in layers, so keras.models.load_model needs no custom objects.
import { zipSync } from 'fflate';
import { preprocessingName } from '../../shared/dataset/image-batch.js';
import { hasPixelMeans } from '../../shared/dataset/input-transform.js';
import type {
  ArrayLayout,
  BatchNormLayer,
  Conv2dLayer,
  DenseLayer,
  MultiplyLayer,
  PadLayer,
  PoolLayer,
  Shape,
  WeightArray,
} from '../../shared/network/layers.js';
import type { DataShape } from '../../shared/network/layout.js';
import { lockstepVersion } from '../../shared/version.js';
import { encodeHdf5, type Hdf5Dataset } from './hdf5.js';
import {
  describeModel,
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

/** Keras version stated in the file. All versions of Keras 3 can read it. */
const kerasVersion = '3.15.1';
/** Constant file time, so that the same checkpoint gives the same bytes. Near the earliest time that zip supports. */
const zipTime = '1980-01-02T00:00:00';

export async function writeKeras(model: TrainedModel): Promise<Uint8Array> {
  const network = new ExportedNetwork(model);
  const writer = new KerasWriter(network);
  const logits = writeNetwork(network, writer);
  const config = {
    module: 'keras.src.models.functional',
    class_name: 'Functional',
    config: {
      name: new UniqueNames().take(model.layout.graph.name.replaceAll('/', '.')),
      trainable: true,
      layers: writer.layers,
      input_layers: [inputName, 0, 0],
      output_layers: [logits.layer, 0, 0],
    },
    registered_name: 'Functional',
  };
  const metadata = {
    keras_version: kerasVersion,
    lockstep_version: lockstepVersion,
    ...describeModel(model),
    lockstep: lockstepMetadata(model, network, writer.paths),
  };
  return zipSync(
    {
      'metadata.json': Buffer.from(JSON.stringify(metadata)),
      'config.json': Buffer.from(JSON.stringify(config)),
      'model.weights.h5': await encodeHdf5(writer.datasets),
    },
    // Stored uncompressed, as in Keras: weights hardly compress.
    { level: 0, mtime: zipTime },
  );
}

/**
 * Returns what `lockstep network import` needs to restore the network exactly. Keras ignores it.
 * @param paths path in the HDF5 file of each array, by the array's name
 */
function lockstepMetadata({ layout, preprocessing }: TrainedModel, network: ExportedNetwork, paths: PathOfArray) {
  const reversed = new Set([...network.reversedKernels].map(({ name }) => name));
  return {
    graph: layout.graph,
    preprocessing: preprocessingName(preprocessing),
    data: layout.data,
    arrays: [...layout.weights, ...layout.statistics].map(({ name }) => ({
      name,
      path: paths.get(name)!,
      // Whether the input channels are in the opposite order of those of the network.
      reversed: reversed.has(name),
    })),
  };
}

type PathOfArray = ReadonlyMap<string, string>;

/** Output of a layer. */
interface KerasTensor {
  layer: string;
  /** Shape without the batch dimension. */
  shape: Shape;
}

const channelsLast = { data_format: 'channels_last' };

class KerasWriter implements NetworkWriter<KerasTensor> {
  readonly layers: object[] = [];
  readonly datasets: Hdf5Dataset[] = [];
  readonly paths = new Map<string, string>();
  readonly #names = new UniqueNames(inputName, outputName);
  readonly #countOfClass = new Map<string, number>();
  readonly #network: ExportedNetwork;
  readonly #data: DataShape;

  constructor(network: ExportedNetwork) {
    this.#network = network;
    this.#data = network.layout.data;
  }

  /** Adds a Keras layer. Its name must be a unique one. */
  #add(
    className: string,
    layer: string,
    inputs: readonly KerasTensor[],
    shape: Shape,
    { trainable = true, ...config }: Readonly<Record<string, unknown>>,
  ): KerasTensor {
    const tensors = inputs.map((tensor) => ({
      class_name: '__keras_tensor__',
      config: { shape: [null, ...tensor.shape], dtype: 'float32', keras_history: [tensor.layer, 0, 0] },
    }));
    const args = tensors.length > 1 ? [tensors] : tensors;
    this.layers.push({
      module: 'keras.layers',
      class_name: className,
      config: { name: layer, trainable, dtype: 'float32', ...config },
      registered_name: null,
      name: layer,
      inbound_nodes: [{ args, kwargs: {} }],
    });
    return { layer, shape };
  }

  #nameOf(name: string): string {
    return this.#names.take(name.replaceAll('/', '.')); // Keras does not allow slashes
  }

  /** Adds the Keras layer that computes a layer's output. */
  #layer(
    className: string,
    { name, index, shape }: NetworkLayer,
    inputs: readonly KerasTensor[],
    config: Readonly<Record<string, unknown>>,
  ) {
    const isLast = index === this.#network.layout.layers.length - 1;
    return this.#add(className, isLast ? outputName : this.#nameOf(name), inputs, shape, config);
  }

  /**
   * Adds the variables of a layer under the paths that Keras uses. A path contains the layer's class instead of its
   * name, and from the second layer of a class on also a number: `layers/conv2d/vars/0`, `layers/conv2d_1/vars/0`.
   * Returns the paths.
   */
  #variables(fileName: string, variables: readonly Omit<Hdf5Dataset, 'path'>[]): string[] {
    const count = this.#countOfClass.get(fileName) ?? 0;
    this.#countOfClass.set(fileName, count + 1);
    const folder = `layers/${fileName}${count === 0 ? '' : `_${count}`}/vars`;
    const paths = variables.map((_, index) => `${folder}/${index}`);
    for (const [index, { shape, values }] of variables.entries())
      this.datasets.push({ path: paths[index], shape, values });
    return paths;
  }

  /**
   * Adds the arrays of a layer as its variables. Returns whether the Keras layer is trainable: not if all of its weights
   * are frozen.
   */
  #arrays(
    fileName: string,
    weights: readonly (WeightArray | null)[],
    { statistics = [], kernelShape }: { statistics?: readonly ArrayLayout[]; kernelShape?: Shape } = {},
  ): { trainable: boolean } {
    const present = weights.filter((array) => array !== null);
    const paths = this.#variables(fileName, [
      ...present.map((array, index) => ({
        shape: index === 0 && kernelShape !== undefined ? kernelShape : array.shape,
        values: this.#network.weightsOf(array),
      })),
      ...statistics.map((array) => ({ shape: array.shape, values: this.#network.statisticsOf(array) })),
    ]);
    for (const [index, { name }] of [...present, ...statistics].entries()) this.paths.set(name, paths[index]);
    return { trainable: present.length === 0 || present.some(({ trainable }) => trainable) };
  }

  input(): KerasTensor {
    const { height, width, channels } = this.#data;
    const shape = [height, width, channels];
    this.layers.push({
      module: 'keras.layers',
      class_name: 'InputLayer',
      config: { batch_shape: [null, ...shape], dtype: 'float32', sparse: false, name: inputName },
      registered_name: null,
      name: inputName,
      inbound_nodes: [],
    });
    return { layer: inputName, shape };
  }

  preprocess(x: KerasTensor, transform: PixelTransform): KerasTensor {
    // The Normalization layer divides by the square root of the variance, so the variance must be the squared divisor.
    // The square root of 255² is exactly 255.
    const { subtract, divide, reversesChannels } = transform;
    const isPerChannel = !hasPixelMeans({ subtract, divide });
    const { height, width } = this.#data;
    const mean = isPerChannel ? [...subtract] : pixelsOf(subtract, this.#data);
    const divisors = [...divide].map((divisor) => divisor ** 2);
    const variance = isPerChannel
      ? divisors
      : Array.from({ length: height }, () => Array.from({ length: width }, () => divisors));
    const axis = isPerChannel ? [-1] : [1, 2, 3];
    const config = { axis, invert: false, mean, variance };
    const normalized = this.#add('Normalization', this.#nameOf('preprocessing'), [x], x.shape, config);
    return reversesChannels ? this.#reverseChannels(normalized) : normalized;
  }

  /** Reverses the color channels with a convolution, because Keras has no layer for this. */
  #reverseChannels(x: KerasTensor): KerasTensor {
    const permutation = Float32Array.of(0, 0, 1, 0, 1, 0, 1, 0, 0);
    this.#variables('conv2d', [{ shape: [1, 1, 3, 3], values: permutation }]);
    return this.#add('Conv2D', this.#nameOf('preprocessing.channels'), [x], x.shape, {
      trainable: false,
      filters: 3,
      kernel_size: [1, 1],
      ...channelsLast,
      activation: 'linear',
      use_bias: false,
    });
  }

  layer(layer: NetworkLayer, inputs: readonly KerasTensor[]): KerasTensor {
    const [x] = inputs;
    switch (layer.op) {
      case 'conv2d':
        return this.#conv2d(layer, x);
      case 'dense':
        return this.#dense(layer, x);
      case 'batchNorm':
        return this.#batchNorm(layer, x);
      case 'relu':
        return this.#layer('ReLU', layer, inputs, {});
      case 'relu6':
      case 'gelu':
      case 'silu':
      case 'sigmoid':
        return this.#layer('Activation', layer, inputs, { activation: layer.op });
      case 'maxPool':
        return this.#pool('MaxPooling2D', layer, x);
      case 'averagePool':
        return this.#pool('AveragePooling2D', layer, x);
      case 'globalAveragePool':
        return this.#layer('GlobalAveragePooling2D', layer, inputs, { ...channelsLast, keepdims: false });
      case 'globalMaxPool':
        return this.#layer('GlobalMaxPooling2D', layer, inputs, { ...channelsLast, keepdims: false });
      case 'add':
        return this.#layer('Add', layer, inputs, {});
      case 'multiply':
        return this.#multiply(layer, inputs);
      case 'concat':
        return this.#layer('Concatenate', layer, inputs, { axis: -1 });
      case 'pad':
        return this.#pad(layer, x);
      case 'flatten':
        return this.#layer('Flatten', layer, inputs, channelsLast);
      case 'reshape':
        return this.#layer('Reshape', layer, inputs, { target_shape: layer.shape });
      case 'dropout':
        return this.#layer('Dropout', layer, inputs, { rate: layer.rate, seed: null, noise_shape: null });
      case 'scale': {
        const [scale, offset] = [layer.factor, layer.offset].map((values) =>
          values.length === 1 ? values[0] : values,
        );
        return this.#layer('Rescaling', layer, inputs, { scale, offset });
      }
      default:
        return layer satisfies never;
    }
  }

  #conv2d(layer: Conv2dLayer, x: KerasTensor): KerasTensor {
    const { filters, groups, kernelSize, strides, kernel, bias } = layer;
    const windows = {
      kernel_size: kernelSize,
      strides,
      padding: this.#network.paddingModeOf(layer),
      ...channelsLast,
      activation: 'linear',
      use_bias: bias !== null,
    };
    if (!isDepthwise(layer)) {
      const { trainable } = this.#arrays('conv2d', [kernel, bias]);
      return this.#layer('Conv2D', layer, [x], { trainable, filters, groups, ...windows });
    }
    const multiplier = filters / groups;
    const kernelShape = [...kernelSize, groups, multiplier];
    const { trainable } = this.#arrays('depthwise_conv2d', [kernel, bias], { kernelShape });
    return this.#layer('DepthwiseConv2D', layer, [x], { trainable, depth_multiplier: multiplier, ...windows });
  }

  #dense(layer: DenseLayer, x: KerasTensor): KerasTensor {
    const { trainable } = this.#arrays('dense', [layer.kernel, layer.bias]);
    const config = { trainable, units: layer.units, activation: 'linear', use_bias: layer.bias !== null };
    return this.#layer('Dense', layer, [x], config);
  }

  #batchNorm(layer: BatchNormLayer, x: KerasTensor): KerasTensor {
    const { gamma, beta, mean, variance, epsilon } = layer;
    const { trainable } = this.#arrays('batch_normalization', [gamma, beta], { statistics: [mean, variance] });
    const config = { trainable, axis: -1, epsilon, center: beta !== null, scale: gamma !== null };
    return this.#layer('BatchNormalization', layer, [x], config);
  }

  #pool(className: string, layer: PoolLayer, x: KerasTensor): KerasTensor {
    return this.#layer(className, layer, [x], {
      pool_size: layer.poolSize,
      strides: layer.strides,
      padding: this.#network.paddingModeOf(layer),
      ...channelsLast,
    });
  }

  #multiply(layer: MultiplyLayer, [x, factor]: readonly KerasTensor[]): KerasTensor {
    const shape = factorShape(layer);
    const reshaped =
      shape === null
        ? factor
        : this.#add('Reshape', this.#nameOf(`${layer.name}.factor`), [factor], shape, { target_shape: shape });
    return this.#layer('Multiply', layer, [x, reshaped], {});
  }

  #pad(layer: PadLayer, x: KerasTensor): KerasTensor {
    const { name, rows, columns, channels } = layer;
    if (channels.every((count) => count === 0)) {
      return this.#layer('ZeroPadding2D', layer, [x], { padding: [rows, columns], ...channelsLast });
    }
    // With channels_first, the layer pads the last two dimensions. Here these are columns and channels.
    const config = { padding: [columns, channels], data_format: 'channels_first' };
    if (rows.every((count) => count === 0)) return this.#layer('ZeroPadding2D', layer, [x], config);
    const [, width, depth] = x.shape;
    const withRows = this.#add('ZeroPadding2D', this.#nameOf(`${name}.rows`), [x], [layer.shape[0], width, depth], {
      padding: [rows, [0, 0]],
      ...channelsLast,
    });
    return this.#layer('ZeroPadding2D', layer, [withRows], config);
  }
}

/** Returns the values as nested arrays, [row][column][channel]. */
function pixelsOf(values: Float32Array, { height, width, channels }: DataShape): number[][][] {
  return Array.from({ length: height }, (_, row) =>
    Array.from({ length: width }, (_unused, column) => {
      const first = (row * width + column) * channels;
      return [...values.subarray(first, first + channels)];
    }),
  );
}

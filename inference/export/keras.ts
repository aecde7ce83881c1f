// Writes a .keras file: a zip file with the configuration of the Keras layers in JSON and the weights in HDF5. Uses
// only built-in layers, so keras.models.load_model needs no custom objects.
import { zipSync } from 'fflate';
import type { DataShape } from '../../shared/network/layout.js';
import { hasPixelMeans } from '../../shared/dataset/input-transform.js';
import { lockstepVersion } from '../../shared/version.js';
import { encodeHdf5, type Hdf5Dataset } from './hdf5.js';
import {
  describeModel,
  inputName,
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

/** Keras version stated in the file. All versions of Keras 3 can read it. */
const kerasVersion = '3.15.1';
/** Constant file time, so that the same checkpoint gives the same bytes. Near the earliest time that zip supports. */
const zipTime = '1980-01-02T00:00:00';

export async function writeKeras(model: TrainedModel): Promise<Uint8Array> {
  const writer = new KerasWriter(model.layout.data);
  const logits = writeNetwork(model, writer);
  const config = {
    module: 'keras.src.models.functional',
    class_name: 'Functional',
    config: {
      name: nameOf(model.layout),
      trainable: true,
      layers: writer.layers,
      input_layers: [inputName, 0, 0],
      output_layers: [logits.layer, 0, 0],
    },
    registered_name: 'Functional',
  };
  const metadata = { keras_version: kerasVersion, lockstep_version: lockstepVersion, ...describeModel(model) };
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

/** Output of a layer. */
interface KerasTensor {
  layer: string;
  /** Shape without the batch dimension. */
  shape: readonly number[];
}

class KerasWriter implements NetworkWriter<KerasTensor> {
  readonly layers: object[] = [];
  readonly datasets: Hdf5Dataset[] = [];
  readonly #countOfClass = new Map<string, number>();
  readonly #data: DataShape;

  constructor(data: DataShape) {
    this.#data = data;
  }

  #layer(
    className: string,
    name: string,
    inputs: readonly KerasTensor[],
    shape: readonly number[],
    config: object,
  ): KerasTensor {
    const layer = name.replaceAll('/', '.'); // Keras does not allow slashes
    const tensors = inputs.map((tensor) => ({
      class_name: '__keras_tensor__',
      config: { shape: [null, ...tensor.shape], dtype: 'float32', keras_history: [tensor.layer, 0, 0] },
    }));
    const args = tensors.length > 1 ? [tensors] : tensors;
    this.layers.push({
      module: 'keras.layers',
      class_name: className,
      config: { name: layer, trainable: true, dtype: 'float32', ...config },
      registered_name: null,
      name: layer,
      inbound_nodes: [{ args, kwargs: {} }],
    });
    return { layer, shape };
  }

  /**
   * Adds the variables of a layer under the paths that Keras uses. A path contains the layer's class instead of its
   * name, and from the second layer of a class on also a number: `layers/conv2d/vars/0`, `layers/conv2d_1/vars/0`.
   */
  #variables(fileName: string, variables: readonly { shape: readonly number[]; values: Float32Array }[]): void {
    const count = this.#countOfClass.get(fileName) ?? 0;
    this.#countOfClass.set(fileName, count + 1);
    const folder = `layers/${fileName}${count === 0 ? '' : `_${count}`}/vars`;
    for (const [index, variable] of variables.entries())
      this.datasets.push({ path: `${folder}/${index}`, ...variable });
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

  preprocess(x: KerasTensor, { subtract, divide }: PixelTransform): KerasTensor {
    // The Normalization layer divides by the square root of the variance, so the variance must be the squared divisor.
    // The square root of 255² is exactly 255.
    const isPerChannel = !hasPixelMeans({ subtract, divide });
    const { height, width } = this.#data;
    const mean = isPerChannel ? [...subtract] : pixelsOf(subtract, this.#data);
    const divisors = [...divide].map((divisor) => divisor ** 2);
    const variance = isPerChannel
      ? divisors
      : Array.from({ length: height }, () => Array.from({ length: width }, () => divisors));
    const axis = isPerChannel ? [-1] : [1, 2, 3];
    return this.#layer('Normalization', 'preprocessing', [x], x.shape, { axis, invert: false, mean, variance });
  }

  convolve(x: KerasTensor, convolution: Convolution): KerasTensor {
    const { name, kernel, bias, kernelSize, stride, inputChannels, outputChannels, outputSize } = convolution;
    const variables = [{ shape: [kernelSize, kernelSize, inputChannels, outputChannels], values: kernel }];
    if (bias !== null) variables.push({ shape: [outputChannels], values: bias });
    this.#variables('conv2d', variables);
    return this.#layer('Conv2D', name, [x], [outputSize, outputSize, outputChannels], {
      filters: outputChannels,
      kernel_size: [kernelSize, kernelSize],
      strides: [stride, stride],
      padding: 'same',
      data_format: 'channels_last',
      activation: 'linear',
      use_bias: bias !== null,
    });
  }

  normalize(x: KerasTensor, { name, channels, gamma, beta, mean, variance, epsilon }: Normalization): KerasTensor {
    const vectors = [gamma, beta, mean, variance];
    this.#variables(
      'batch_normalization',
      vectors.map((values) => ({ shape: [channels], values })),
    );
    return this.#layer('BatchNormalization', name, [x], x.shape, { axis: -1, epsilon, center: true, scale: true });
  }

  relu(x: KerasTensor, name: string): KerasTensor {
    return this.#layer('ReLU', name, [x], x.shape, {});
  }

  subsample(x: KerasTensor, { name, channelPadding, inputChannels, inputSize }: Subsampling): KerasTensor {
    const size = Math.ceil(inputSize / 2);
    // A window of one pixel with stride 2 takes every second pixel.
    const sampled = this.#layer('AveragePooling2D', `${name}.sampled`, [x], [size, size, inputChannels], {
      pool_size: [1, 1],
      strides: [2, 2],
      padding: 'valid',
      data_format: 'channels_last',
    });
    // With channels_first, the layer pads the last two dimensions. Here these are columns (no padding) and channels.
    return this.#layer('ZeroPadding2D', name, [sampled], [size, size, inputChannels + 2 * channelPadding], {
      padding: [
        [0, 0],
        [channelPadding, channelPadding],
      ],
      data_format: 'channels_first',
    });
  }

  add(x: KerasTensor, y: KerasTensor, name: string): KerasTensor {
    return this.#layer('Add', name, [x, y], x.shape, {});
  }

  pool(x: KerasTensor): KerasTensor {
    return this.#layer('GlobalAveragePooling2D', 'pool', [x], x.shape.slice(-1), {
      data_format: 'channels_last',
      keepdims: false,
    });
  }

  dense(x: KerasTensor, { inputs, outputs, kernel, bias }: Dense): KerasTensor {
    this.#variables('dense', [
      { shape: [inputs, outputs], values: kernel },
      { shape: [outputs], values: bias },
    ]);
    const config = { units: outputs, activation: 'linear', use_bias: true };
    return this.#layer('Dense', outputName, [x], [outputs], config);
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

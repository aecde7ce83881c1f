// The layers of a network with their shapes and parameter counts.
import type { DataShape, ModelLayout } from '../../shared/network/layout.js';
import {
  inputName,
  nameOf,
  writeNetwork,
  type Convolution,
  type Dense,
  type NetworkWriter,
  type Normalization,
  type Subsampling,
} from './network.js';

export interface LayerSummary {
  name: string;
  /** Name of the Keras class, such as `Conv2D`. */
  type: string;
  /** Shape of the output without the batch dimension. */
  outputShape: readonly number[];
  parameters: number;
  /** Names of the layers whose outputs this layer takes as inputs. */
  connectedTo: readonly string[];
}

export interface ModelSummary {
  /** Name of the network, such as `resnet20`. */
  model: string;
  layers: readonly LayerSummary[];
  totalParameters: number;
  trainableParameters: number;
  /** Number of moving statistics of batch norm. */
  nonTrainableParameters: number;
}

/** Summarizes a network. The summary depends only on the layout, so the weights passed to the writer are zeros. */
export function summarizeModel(layout: ModelLayout): ModelSummary {
  const writer = new SummaryWriter(layout.data);
  writeNetwork(
    {
      layout,
      weights: new Float32Array(layout.weightsSize),
      movingStatistics: new Float32Array(layout.statisticsSize),
      preprocessing: 'imagenet',
    },
    writer,
  );
  return {
    model: nameOf(layout),
    layers: writer.layers,
    totalParameters: layout.weightsSize + layout.statisticsSize,
    trainableParameters: layout.weightsSize,
    nonTrainableParameters: layout.statisticsSize,
  };
}

class SummaryWriter implements NetworkWriter<LayerSummary> {
  readonly layers: LayerSummary[] = [];
  readonly #data: DataShape;

  constructor(data: DataShape) {
    this.#data = data;
  }

  #layer(
    type: string,
    name: string,
    inputs: readonly LayerSummary[],
    outputShape: readonly number[],
    parameters = 0,
  ): LayerSummary {
    const connectedTo = inputs.map((input) => input.name);
    const layer = { name, type, outputShape, parameters, connectedTo };
    this.layers.push(layer);
    return layer;
  }

  input(): LayerSummary {
    const { height, width, channels } = this.#data;
    return this.#layer('InputLayer', inputName, [], [height, width, channels]);
  }

  preprocess(x: LayerSummary): LayerSummary {
    return this.#layer('Normalization', 'preprocessing', [x], x.outputShape);
  }

  convolve(x: LayerSummary, { name, kernel, bias, outputSize, outputChannels }: Convolution): LayerSummary {
    const parameters = kernel.length + (bias?.length ?? 0);
    return this.#layer('Conv2D', name, [x], [outputSize, outputSize, outputChannels], parameters);
  }

  normalize(x: LayerSummary, { name, gamma, beta, mean, variance }: Normalization): LayerSummary {
    const parameters = gamma.length + beta.length + mean.length + variance.length;
    return this.#layer('BatchNormalization', name, [x], x.outputShape, parameters);
  }

  relu(x: LayerSummary, name: string): LayerSummary {
    return this.#layer('ReLU', name, [x], x.outputShape);
  }

  subsample(x: LayerSummary, { name, inputChannels, inputSize, channelPadding }: Subsampling): LayerSummary {
    const size = Math.ceil(inputSize / 2);
    return this.#layer('ZeroPadding', name, [x], [size, size, inputChannels + 2 * channelPadding]);
  }

  add(x: LayerSummary, y: LayerSummary, name: string): LayerSummary {
    return this.#layer('Add', name, [x, y], x.outputShape);
  }

  pool(x: LayerSummary): LayerSummary {
    return this.#layer('GlobalAveragePooling2D', 'pool', [x], x.outputShape.slice(-1));
  }

  dense(x: LayerSummary, { name, outputs, kernel, bias }: Dense): LayerSummary {
    return this.#layer('Dense', name, [x], [outputs], kernel.length + bias.length);
  }
}

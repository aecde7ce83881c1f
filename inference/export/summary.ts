// The network layer by layer, with shapes and parameters, as Keras's model.summary() lists it. Pure.
import { imageChannels, imageSize, type ModelLayout } from '../../shared/network/layout.js';
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
  /** Keras's name of such a layer. */
  type: string;
  /** Without the number of images. */
  outputShape: readonly number[];
  parameters: number;
  /** The layers whose outputs it takes. */
  connectedTo: readonly string[];
}

export interface ModelSummary {
  /** `resnet20` */
  model: string;
  layers: readonly LayerSummary[];
  totalParameters: number;
  trainableParameters: number;
  /** Batch norm's moving statistics. */
  nonTrainableParameters: number;
}

/** What the layers are depends on the layout alone: whatever values its arrays have. */
export function summarizeModel(layout: ModelLayout): ModelSummary {
  const writer = new SummaryWriter();
  writeNetwork(
    {
      layout,
      weights: new Float32Array(layout.trainableSize),
      movingStatistics: new Float32Array(layout.statisticsSize),
      preprocessing: 'imagenet',
    },
    writer,
  );
  return {
    model: nameOf(layout),
    layers: writer.layers,
    totalParameters: layout.trainableSize + layout.statisticsSize,
    trainableParameters: layout.trainableSize,
    nonTrainableParameters: layout.statisticsSize,
  };
}

class SummaryWriter implements NetworkWriter<LayerSummary> {
  readonly layers: LayerSummary[] = [];

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
    return this.#layer('InputLayer', inputName, [], [imageSize, imageSize, imageChannels]);
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
    const size = inputSize / 2;
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

/** A table with a line a layer, then the totals. */
export function describeSummary(summary: ModelSummary): string[] {
  const rows = summary.layers.map(({ name, type, outputShape, parameters, connectedTo }) => [
    `${name} (${type})`,
    `(None, ${outputShape.join(', ')})`,
    grouped(parameters),
    connectedTo.join(', ') || '-',
  ]);
  const titles = ['Layer (type)', 'Output Shape', 'Param #', 'Connected to'];
  const widths = titles.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column].length)));
  const lineOf = (cells: readonly string[]) =>
    cells
      .map((cell, column) => (column === 2 ? cell.padStart(widths[column]) : cell.padEnd(widths[column])))
      .join('  ')
      .trimEnd();
  const width = widths.reduce((sum, each) => sum + each + 2, -2);
  return [
    `Model: "${summary.model}"`,
    lineOf(titles),
    '='.repeat(width),
    ...rows.map(lineOf),
    '='.repeat(width),
    ...totalsOf(summary).map((total) => total.join(': ')),
  ];
}

/** `Total params: 271,786 (1.04 MB) · …`, in a line. */
export function describeTotals(summary: ModelSummary): string {
  return totalsOf(summary)
    .map((total) => total.join(': '))
    .join(' · ');
}

function totalsOf({ totalParameters, trainableParameters, nonTrainableParameters }: ModelSummary): [string, string][] {
  const sized = (count: number) => `${grouped(count)} (${readableBytes(4 * count)})`;
  return [
    ['Total params', sized(totalParameters)],
    ['Trainable params', sized(trainableParameters)],
    ['Non-trainable params', sized(nonTrainableParameters)],
  ];
}

function grouped(count: number): string {
  return count.toLocaleString('en-US');
}

/** As Keras writes it: `1.04 MB`, of 1,024² bytes. */
function readableBytes(bytes: number): string {
  const units = ['B', 'KB', 'MB', 'GB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  return `${(bytes / 1024 ** power).toFixed(2)} ${units[power]}`;
}

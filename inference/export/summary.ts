// The layers of a network with their shapes and parameter counts.
import type { ArrayLayout, Layer, WeightArray } from '../../shared/network/layers.js';
import type { ModelLayout } from '../../shared/network/layout.js';
import { inputName, isDepthwise } from './network.js';

export interface LayerSummary {
  name: string;
  /** Type of the layer, such as `Conv2D`: the name of the Keras class if there is one. */
  type: string;
  /** Shape of the output without the batch dimension. */
  outputShape: readonly number[];
  parameters: number;
  /** Arrays that the optimizer does not update, such as `kernel`. */
  frozen: readonly string[];
  /** Names of the layers whose outputs this layer takes as inputs. */
  connectedTo: readonly string[];
}

export interface ModelSummary {
  /** Name of the network, such as `resnet20`. */
  model: string;
  layers: readonly LayerSummary[];
  totalParameters: number;
  trainableParameters: number;
  /** Number of frozen weights and of moving statistics of batch norm. */
  nonTrainableParameters: number;
  /** Number of weights that the optimizer does not update. */
  frozenParameters: number;
}

/** Summarizes a network, from pixels to logits. */
export function summarizeModel(layout: ModelLayout): ModelSummary {
  const { layers, weights, weightsSize, statisticsSize } = layout;
  const nameOf = (index: number) => (index === 0 ? 'preprocessing' : layers[index].name);
  const frozenParameters = sizeOf(frozenOf(weights));
  return {
    model: layout.graph.name,
    layers: [
      { ...summaryOf('InputLayer', layers[0]), name: inputName, connectedTo: [] },
      { ...summaryOf('Normalization', layers[0]), name: nameOf(0), connectedTo: [inputName] },
      ...layers.slice(1).map((layer) => ({
        ...summaryOf(kerasClassOf(layer), layer),
        connectedTo: layer.inputs.map(nameOf),
      })),
    ],
    totalParameters: weightsSize + statisticsSize,
    trainableParameters: weightsSize - frozenParameters,
    nonTrainableParameters: frozenParameters + statisticsSize,
    frozenParameters,
  };
}

function summaryOf(type: string, layer: Layer): Omit<LayerSummary, 'connectedTo'> {
  const { weights, statistics } = arraysOf(layer);
  return {
    name: layer.name,
    type,
    outputShape: layer.shape,
    parameters: sizeOf([...weights, ...statistics]),
    frozen: frozenOf(weights).map(({ name }) => name.slice(name.lastIndexOf('/') + 1)),
  };
}

function arraysOf(layer: Layer): { weights: WeightArray[]; statistics: ArrayLayout[] } {
  switch (layer.op) {
    case 'conv2d':
    case 'dense':
      return { weights: [layer.kernel, layer.bias].filter((array) => array !== null), statistics: [] };
    case 'batchNorm':
      return {
        weights: [layer.gamma, layer.beta].filter((array) => array !== null),
        statistics: [layer.mean, layer.variance],
      };
    default:
      return { weights: [], statistics: [] };
  }
}

function sizeOf(arrays: readonly ArrayLayout[]): number {
  return arrays.reduce((sum, { size }) => sum + size, 0);
}

function frozenOf(weights: readonly WeightArray[]): WeightArray[] {
  return weights.filter(({ trainable }) => !trainable);
}

const kerasClasses = {
  input: 'InputLayer',
  conv2d: 'Conv2D',
  dense: 'Dense',
  batchNorm: 'BatchNormalization',
  relu: 'ReLU',
  relu6: 'ReLU6',
  gelu: 'GELU',
  silu: 'SiLU',
  sigmoid: 'Sigmoid',
  maxPool: 'MaxPooling2D',
  averagePool: 'AveragePooling2D',
  globalAveragePool: 'GlobalAveragePooling2D',
  globalMaxPool: 'GlobalMaxPooling2D',
  add: 'Add',
  multiply: 'Multiply',
  concat: 'Concatenate',
  pad: 'ZeroPadding',
  flatten: 'Flatten',
  reshape: 'Reshape',
  dropout: 'Dropout',
  scale: 'Rescaling',
} as const satisfies Record<Layer['op'], string>;

function kerasClassOf(layer: Layer): string {
  return layer.op === 'conv2d' && isDepthwise(layer) ? 'DepthwiseConv2D' : kerasClasses[layer.op];
}

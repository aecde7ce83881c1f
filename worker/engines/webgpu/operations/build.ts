// Turns a network into the dispatches of a training step or of an evaluation.
import { groupOf, type DropoutLayer, type Layer } from '../../../../shared/network/layers.js';
import { sizeOf } from '../../../../shared/network/shapes.js';
import { imagesKernel, lossKernel } from '../kernels/ends.js';
import { pixelSumKernel } from '../kernels/pooling.js';
import type { Tensor } from '../memory/resources.js';
import { ChannelSlice, Concatenated, Cropped, Padded, Reshaped, Spread } from '../values/gathered.js';
import { Lowering, type Mode, type ProgramSettings } from './lowering.js';
import { lowerBatchNorm } from './normalization.js';
import { lowerGlobalPool, lowerPool } from './pools.js';
import { lowerConvolution, lowerDense } from './products.js';
import type { Program } from './program.js';
import {
  Activated,
  ActivationGradient,
  isPiecewiseLinear,
  Product,
  Scaled,
  Stored,
  Sum,
  type Value,
} from '../values/value.js';

export function buildProgram(mode: Mode, settings: ProgramSettings): Program {
  const lowering = new Lowering(mode, settings);
  const { layers } = settings.layout;
  for (const layer of layers) {
    lowering.group = groupOf(layer);
    const inputs = layer.inputs.map((input) => lowering.values[input]);
    lowering.setValue(layer, lowerLayer(lowering, layer, inputs));
  }
  const logits = addLoss(lowering, layers.at(-1)!);
  if (mode === 'train') lowering.addBackward();
  const { dispatches, tensors } = lowering.program;
  logits.last = dispatches.length;
  return { dispatches, tensors, logits };
}

function addLoss(lowering: Lowering, last: Layer): Tensor {
  const { format, labelSmoothing } = lowering.settings;
  const classes = last.shape[0];
  const logits = (lowering.values[last.index] as Stored).resource as Tensor;
  lowering.group = 'loss';
  if (lowering.mode === 'evaluate') {
    lowering.add(lossKernel(format, classes, 0, logits, null), 'loss');
    return logits;
  }
  const gradient = new Stored(last.shape);
  lowering.add(lossKernel(format, classes, labelSmoothing, logits, gradient.resource), 'loss');
  lowering.seedGradient(last.index, gradient);
  return logits;
}

/** Adds the forward pass of a layer, and how its backward pass will be added. */
function lowerLayer(lowering: Lowering, layer: Layer, inputs: readonly Value[]): Value {
  const { settings } = lowering;
  const [x] = inputs;
  const withGradient = (toInput: (gradient: Value) => Value): void =>
    lowering.onBackward(layer, (gradient) => lowering.contribute(layer, 0, () => toInput(gradient)));
  switch (layer.op) {
    case 'input': {
      const output = new Stored(layer.shape);
      lowering.add(imagesKernel(settings.format, settings.tables, output.resource), 'images');
      return output;
    }
    case 'conv2d':
      return lowerConvolution(lowering, layer, x);
    case 'dense':
      return lowerDense(lowering, layer, x);
    case 'batchNorm':
      return lowerBatchNorm(lowering, layer, x);
    case 'relu':
    case 'relu6':
    case 'gelu':
    case 'silu':
    case 'sigmoid': {
      const { op, index } = layer;
      // The output of a piecewise linear function tells its slope, and it may be in memory.
      withGradient(
        (gradient) => new ActivationGradient(op, gradient, isPiecewiseLinear(op) ? lowering.values[index] : x),
      );
      return new Activated(op, x);
    }
    case 'maxPool':
    case 'averagePool':
      return lowerPool(lowering, layer, x);
    case 'globalAveragePool':
    case 'globalMaxPool':
      return lowerGlobalPool(lowering, layer, x);
    case 'add':
      lowering.onBackward(layer, (gradient) =>
        inputs.forEach((_, index) => lowering.contribute(layer, index, () => gradient)),
      );
      return lowering.combined(inputs, 'forward', (values) => new Sum(values));
    case 'multiply':
      return lowerMultiply(lowering, layer, inputs);
    case 'concat':
      return lowerConcat(lowering, layer, inputs);
    case 'pad':
      withGradient((gradient) => new Cropped(x.shape, gradient, layer));
      return new Padded(layer.shape, x, layer);
    case 'flatten':
    case 'reshape':
      withGradient((gradient) => reshaped(x.shape, gradient));
      return reshaped(layer.shape, x);
    case 'dropout':
      return lowerDropout(lowering, layer, x);
    case 'scale': {
      const { factors, offsets } = settings.fixed.scales.get(layer.index)!;
      withGradient((gradient) => new Scaled(gradient, factors, null));
      return new Scaled(x, factors, offsets);
    }
    default:
      return layer satisfies never;
  }
}

function lowerMultiply(lowering: Lowering, layer: Layer, [x, y]: readonly Value[]): Value {
  const isPerChannel = sizeOf(x.shape) !== sizeOf(y.shape);
  const factor = isPerChannel ? new Spread(x.shape, y) : y;
  lowering.onBackward(layer, (gradient) => {
    lowering.contribute(layer, 0, () => new Product([gradient, factor]));
    lowering.contribute(layer, 1, () => {
      const products = new Product([gradient, x]);
      if (!isPerChannel) return products;
      const sums = new Stored(y.shape);
      lowering.add(pixelSumKernel(products, 1, sums.resource), 'other gradients');
      return sums;
    });
  });
  return new Product([x, factor]);
}

function lowerConcat(lowering: Lowering, layer: Layer, inputs: readonly Value[]): Value {
  lowering.onBackward(layer, (gradient) => {
    let first = 0;
    for (const [index, input] of inputs.entries()) {
      const start = first;
      lowering.contribute(layer, index, () => new ChannelSlice(input.shape, gradient, start));
      first += input.channels;
    }
  });
  return lowering.combined(inputs, 'forward', (values) => {
    const channels = values.reduce((sum, value) => sum + value.channels, 0);
    return new Concatenated([...layer.shape.slice(0, -1), channels], values);
  });
}

function lowerDropout(lowering: Lowering, layer: DropoutLayer, x: Value): Value {
  if (lowering.mode === 'evaluate') return x;
  const mask = new Stored(layer.shape, { buffer: `mask${layer.index}`, offset: 0 });
  lowering.onBackward(layer, (gradient) => lowering.contribute(layer, 0, () => new Product([gradient, mask])));
  return new Product([x, mask]);
}

function reshaped(shape: readonly number[], value: Value): Value {
  return value instanceof Stored ? new Stored(shape, value.resource) : new Reshaped(shape, [value]);
}

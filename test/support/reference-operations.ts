// The operations of a network in slow float64 loops that follow the definitions, forward and backward.
import { dropoutMask, type DropoutKey } from '../../shared/network/dropout.js';
import type {
  ActivationLayer,
  BatchNormLayer,
  Conv2dLayer,
  DenseLayer,
  Layer,
  PadLayer,
  PoolLayer,
  WeightArray,
} from '../../shared/network/layers.js';

/** What an operation reads and where it reports. Values are [images, …shape]. */
export interface Context {
  imageCount: number;
  weights: ArrayLike<number>;
  /** Moving statistics to normalize with; null to use those of the batch. */
  movingStatistics: ArrayLike<number> | null;
  /** Receives the gradients of the weights. */
  gradient: Float64Array;
  /** Receives the statistics of the batch. */
  batchStatistics: Float64Array;
  /** Key of dropout's masks; without it, dropout does nothing. */
  dropoutKey?: DropoutKey | undefined;
}

export interface Computed {
  values: Float64Array;
  /** Returns the gradients with respect to the inputs, and adds to those of the weights. */
  backward(upstream: Float64Array): Float64Array[];
}

export function compute(layer: Layer, inputs: readonly Float64Array[], context: Context): Computed {
  const [x] = inputs;
  switch (layer.op) {
    case 'input':
      return { values: x, backward: () => [] };
    case 'conv2d':
      return convolve(layer, x, context);
    case 'dense':
      return multiplyMatrix(layer, x, context);
    case 'batchNorm':
      return normalize(layer, x, context);
    case 'relu':
    case 'relu6':
    case 'gelu':
    case 'silu':
    case 'sigmoid':
      return activate(layer, x);
    case 'maxPool':
    case 'averagePool':
      return pool(layer, x, context);
    case 'globalAveragePool':
    case 'globalMaxPool': {
      const [height, width] = layer.inputShapes[0];
      const op = layer.op === 'globalMaxPool' ? 'maxPool' : 'averagePool';
      const padding = { top: 0, bottom: 0, left: 0, right: 0 };
      const shape = [1, 1, layer.shape[0]];
      return pool({ ...layer, op, poolSize: [height, width], strides: [1, 1], padding, shape }, x, context);
    }
    case 'add':
      return {
        values: x.map((_, i) => inputs.reduce((sum, input) => sum + input[i], 0)),
        backward: (upstream) => inputs.map(() => upstream),
      };
    case 'multiply':
      return multiply(x, inputs[1], layer.inputShapes[0].at(-1)!, context);
    case 'concat':
      return concat(
        inputs,
        layer.inputShapes.map((shape) => shape.at(-1)!),
      );
    case 'pad':
      return pad(layer, x, context);
    case 'flatten':
    case 'reshape':
      return { values: x, backward: (upstream) => [upstream] };
    case 'dropout': {
      if (context.dropoutKey === undefined) return { values: x, backward: (upstream) => [upstream] };
      const mask = dropoutMask(context.dropoutKey, layer, context.imageCount);
      const masked = (values: Float64Array) => values.map((value, i) => value * mask[i]);
      return { values: masked(x), backward: (upstream) => [masked(upstream)] };
    }
    case 'scale': {
      const channels = layer.shape.at(-1)!;
      const at = (values: readonly number[], i: number) => values[values.length === 1 ? 0 : i % channels];
      return {
        values: x.map((value, i) => value * at(layer.factor, i) + at(layer.offset, i)),
        backward: (upstream) => [upstream.map((value, i) => value * at(layer.factor, i))],
      };
    }
    default:
      return layer satisfies never;
  }
}

interface Windows extends Pick<PoolLayer, 'strides' | 'padding' | 'inputShapes' | 'shape'> {
  size: readonly [number, number];
}

/** Calls `visit` with the pixel indices of every pair of an output pixel and a pixel in its window. */
function eachPixel(
  { size, strides, padding, inputShapes, shape }: Windows,
  imageCount: number,
  visit: (input: number, tap: number, output: number) => void,
): void {
  const [height, width] = inputShapes[0];
  for (let image = 0; image < imageCount; image++) {
    for (let y = 0; y < shape[0]; y++) {
      for (let x = 0; x < shape[1]; x++) {
        for (let row = 0; row < size[0]; row++) {
          for (let column = 0; column < size[1]; column++) {
            const fromY = y * strides[0] + row - padding.top;
            const fromX = x * strides[1] + column - padding.left;
            if (Math.min(fromY, fromX) < 0 || fromY >= height || fromX >= width) continue;
            const input = (image * height + fromY) * width + fromX;
            visit(input, row * size[1] + column, (image * shape[0] + y) * shape[1] + x);
          }
        }
      }
    }
  }
}

function convolve(layer: Conv2dLayer, x: Float64Array, context: Context): Computed {
  const { kernel, bias, groups, filters, kernelSize, shape, inputShapes } = layer;
  const channels = inputShapes[0][2];
  const [groupInputs, groupFilters] = [channels / groups, filters / groups];
  const eachProduct = (visit: (input: number, weight: number, output: number) => void) =>
    eachPixel({ ...layer, size: kernelSize }, context.imageCount, (input, tap, output) => {
      for (let filter = 0; filter < filters; filter++) {
        const first = Math.floor(filter / groupFilters) * groupInputs;
        for (let i = 0; i < groupInputs; i++) {
          const weight = kernel.offset + (tap * groupInputs + i) * filters + filter;
          visit(input * channels + first + i, weight, output * filters + filter);
        }
      }
    });
  const values = new Float64Array(context.imageCount * shape[0] * shape[1] * filters);
  if (bias !== null) values.forEach((_, i) => (values[i] = context.weights[bias.offset + (i % filters)]));
  eachProduct((input, weight, output) => (values[output] += x[input] * context.weights[weight]));
  return {
    values,
    backward: (upstream) => {
      const gradient = new Float64Array(x.length);
      eachProduct((input, weight, output) => {
        gradient[input] += upstream[output] * context.weights[weight];
        context.gradient[weight] += upstream[output] * x[input];
      });
      addBiasGradient(bias, upstream, context);
      return [gradient];
    },
  };
}

function addBiasGradient(bias: WeightArray | null, upstream: Float64Array, { gradient }: Context): void {
  if (bias !== null) upstream.forEach((value, i) => (gradient[bias.offset + (i % bias.size)] += value));
}

function multiplyMatrix({ kernel, bias, units, inputShapes }: DenseLayer, x: Float64Array, context: Context): Computed {
  const [inputs] = inputShapes[0];
  const values = new Float64Array(context.imageCount * units);
  const eachProduct = (visit: (input: number, weight: number, output: number) => void) => {
    for (let image = 0; image < context.imageCount; image++) {
      for (let i = 0; i < inputs; i++) {
        for (let unit = 0; unit < units; unit++) {
          visit(image * inputs + i, kernel.offset + i * units + unit, image * units + unit);
        }
      }
    }
  };
  if (bias !== null) values.forEach((_, i) => (values[i] = context.weights[bias.offset + (i % units)]));
  eachProduct((input, weight, output) => (values[output] += x[input] * context.weights[weight]));
  return {
    values,
    backward: (upstream) => {
      const gradient = new Float64Array(x.length);
      eachProduct((input, weight, output) => {
        gradient[input] += upstream[output] * context.weights[weight];
        context.gradient[weight] += upstream[output] * x[input];
      });
      addBiasGradient(bias, upstream, context);
      return [gradient];
    },
  };
}

function normalize(layer: BatchNormLayer, x: Float64Array, context: Context): Computed {
  const { weights, movingStatistics, batchStatistics } = context;
  const { gamma, beta, mean, variance, epsilon } = layer;
  const channels = mean.size;
  const count = x.length / channels;
  const perChannel = (valueAt: (i: number, channel: number) => number) => {
    const sums = new Float64Array(channels);
    for (let i = 0; i < x.length; i++) sums[i % channels] += valueAt(i, i % channels);
    return sums;
  };
  const ofBatch = perChannel((i) => x[i]).map((sum) => sum / count);
  const varianceOfBatch = perChannel((i, c) => (x[i] - ofBatch[c]) ** 2).map((sum) => sum / count);
  batchStatistics.set(ofBatch, mean.offset);
  batchStatistics.set(varianceOfBatch, variance.offset);
  const used = (own: Float64Array, array: { offset: number }) =>
    movingStatistics === null ? own : own.map((_, c) => movingStatistics[array.offset + c]);
  const means = used(ofBatch, mean);
  const inverse = used(varianceOfBatch, variance).map((value) => 1 / Math.sqrt(value + epsilon));
  const scale = inverse.map((value, c) => value * (gamma === null ? 1 : weights[gamma.offset + c]));
  const normalized = x.map((value, i) => (value - means[i % channels]) * inverse[i % channels]);
  return {
    values: x.map((value, i) => {
      const c = i % channels;
      return (value - means[c]) * scale[c] + (beta === null ? 0 : weights[beta.offset + c]);
    }),
    backward: (upstream) => {
      const sums = perChannel((i) => upstream[i]);
      const products = perChannel((i) => upstream[i] * normalized[i]);
      for (let c = 0; c < channels; c++) {
        if (gamma !== null) context.gradient[gamma.offset + c] += products[c];
        if (beta !== null) context.gradient[beta.offset + c] += sums[c];
      }
      return [
        upstream.map((value, i) => {
          const c = i % channels;
          return scale[c] * (value - sums[c] / count - (normalized[i] * products[c]) / count);
        }),
      ];
    },
  };
}

function activate({ op }: ActivationLayer, x: Float64Array): Computed {
  const { value, slope } = functions[op];
  return { values: x.map(value), backward: (upstream) => [upstream.map((each, i) => each * slope(x[i]))] };
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
/** Probability that a standard normal variable is below x. */
const normalMass = (x: number) => (1 + errorFunction(x / Math.SQRT2)) / 2;

const functions: Record<ActivationLayer['op'], { value: (x: number) => number; slope: (x: number) => number }> = {
  relu: { value: (x) => Math.max(0, x), slope: (x) => (x > 0 ? 1 : 0) },
  relu6: { value: (x) => Math.min(Math.max(0, x), 6), slope: (x) => (x > 0 && x < 6 ? 1 : 0) },
  gelu: {
    value: (x) => x * normalMass(x),
    slope: (x) => normalMass(x) + (x * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI),
  },
  silu: { value: (x) => x * sigmoid(x), slope: (x) => sigmoid(x) * (1 + x * (1 - sigmoid(x))) },
  sigmoid: { value: sigmoid, slope: (x) => sigmoid(x) * (1 - sigmoid(x)) },
};

/** Error function: its Taylor series near 0, and the continued fraction of its complement elsewhere. */
export function errorFunction(x: number): number {
  if (x < 0) return -errorFunction(-x);
  if (x < 2.5) {
    let term = x;
    let sum = x;
    for (let n = 1; n < 100; n++) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
    }
    return (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = x;
  for (let n = 60; n >= 1; n--) fraction = x + n / 2 / fraction;
  return 1 - Math.exp(-x * x) / (Math.sqrt(Math.PI) * fraction);
}

function pool(
  layer: Pick<PoolLayer, 'op' | 'poolSize' | 'strides' | 'padding' | 'inputShapes' | 'shape'>,
  x: Float64Array,
  { imageCount }: Context,
): Computed {
  const { op, poolSize, shape } = layer;
  const channels = shape[2];
  const outputs = imageCount * shape[0] * shape[1];
  /** Pixels in the window of each output pixel. */
  const windows = Array.from({ length: outputs }, (): number[] => []);
  eachPixel({ ...layer, size: poolSize }, imageCount, (input, _tap, output) => windows[output].push(input));
  const values = new Float64Array(outputs * channels);
  /** For the maximum, the first of the largest elements. */
  const sources = (i: number) => {
    const elements = windows[Math.floor(i / channels)].map((pixel) => pixel * channels + (i % channels));
    return op === 'averagePool' ? elements : [elements.reduce((best, each) => (x[each] > x[best] ? each : best))];
  };
  for (let i = 0; i < values.length; i++) {
    const elements = sources(i);
    values[i] = elements.reduce((sum, element) => sum + x[element], 0) / elements.length;
  }
  return {
    values,
    backward: (upstream) => {
      const gradient = new Float64Array(x.length);
      for (let i = 0; i < values.length; i++) {
        const elements = sources(i);
        for (const element of elements) gradient[element] += upstream[i] / elements.length;
      }
      return [gradient];
    },
  };
}

function multiply(x: Float64Array, y: Float64Array, channels: number, { imageCount }: Context): Computed {
  const perImage = x.length / imageCount;
  const isFull = x.length === y.length;
  const factorAt = (i: number) => (isFull ? i : Math.floor(i / perImage) * channels + (i % channels));
  return {
    values: x.map((value, i) => value * y[factorAt(i)]),
    backward: (upstream) => {
      const toFactor = new Float64Array(y.length);
      upstream.forEach((value, i) => (toFactor[factorAt(i)] += value * x[i]));
      return [upstream.map((value, i) => value * y[factorAt(i)]), toFactor];
    },
  };
}

function concat(inputs: readonly Float64Array[], channels: readonly number[]): Computed {
  const total = channels.reduce((sum, each) => sum + each, 0);
  const pixels = inputs[0].length / channels[0];
  const starts = channels.map((_, index) => channels.slice(0, index).reduce((sum, each) => sum + each, 0));
  const values = new Float64Array(pixels * total);
  for (let pixel = 0; pixel < pixels; pixel++) {
    for (const [index, input] of inputs.entries()) {
      const own = input.subarray(pixel * channels[index], (pixel + 1) * channels[index]);
      values.set(own, pixel * total + starts[index]);
    }
  }
  return {
    values,
    backward: (upstream) =>
      inputs.map((input, index) =>
        input.map((_, i) => {
          const pixel = Math.floor(i / channels[index]);
          return upstream[pixel * total + starts[index] + (i % channels[index])];
        }),
      ),
  };
}

function pad(
  { rows, columns, channels, inputShapes, shape }: PadLayer,
  x: Float64Array,
  { imageCount }: Context,
): Computed {
  const [height, width, depth] = inputShapes[0];
  const targets = x.map((_, i) => {
    const pixel = Math.floor(i / depth);
    const [image, row, column] = [
      Math.floor(pixel / width / height),
      Math.floor(pixel / width) % height,
      pixel % width,
    ];
    const target = (image * shape[0] + row + rows[0]) * shape[1] + column + columns[0];
    return target * shape[2] + (i % depth) + channels[0];
  });
  const values = new Float64Array(imageCount * shape[0] * shape[1] * shape[2]);
  targets.forEach((target, i) => (values[target] = x[i]));
  return { values, backward: (upstream) => [targets.map((target) => upstream[target])] };
}

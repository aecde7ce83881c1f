// Turns a network into the dispatches of a training step or of an evaluation.
import type { RecordFormat } from '../../../../shared/dataset/record-format.js';
import type {
  BatchNormLayer,
  Conv2dLayer,
  DenseLayer,
  DropoutLayer,
  GlobalPoolLayer,
  Layer,
  PoolLayer,
} from '../../../../shared/network/layers.js';
import type { ModelLayout } from '../../../../shared/network/layout.js';
import { sizeOf } from '../../../../shared/network/shapes.js';
import {
  mergeStatisticsKernel,
  mergeSumsKernel,
  movingNormKernel,
  stripStatisticsKernel,
} from '../kernels/batch-norm.js';
import { columnSumKernel, stripOf, stripsOf, stripSumKernel } from '../kernels/column-sums.js';
import {
  filterGradientKernel,
  forwardKernel,
  inputGradientKernel,
  stripPixels,
  type Geometry,
} from '../kernels/convolution.js';
import { imagesKernel, lossKernel, type InputTables } from '../kernels/ends.js';
import {
  groupedFilterGradientKernel,
  groupedForwardKernel,
  groupedInputGradientKernel,
  type GroupedGeometry,
} from '../kernels/grouped-convolution.js';
import { pixelSumKernel, poolGradientKernel, poolKernel, type Windows } from '../kernels/pooling.js';
import { Extent, Tensor, type Region } from '../memory/resources.js';
import type { FixedPlan } from '../memory/fixed-plan.js';
import { ChannelSlice, Concatenated, Cropped, Padded, PeakGradient, Reshaped, Spread } from './gathered.js';
import { GammaGradient, Normalized, NormGradient } from './normalized.js';
import { ProgramBuilder, type Dispatch, type Phase } from './program.js';
import { Activated, ActivationGradient, Product, Scaled, Stored, Sum, type Value } from './value.js';

export type Mode = 'train' | 'evaluate';

export interface ProgramSettings {
  readonly layout: ModelLayout;
  readonly format: RecordFormat;
  readonly fixed: FixedPlan;
  readonly tables: InputTables;
  readonly labelSmoothing: number;
}

/** Adds the backward pass of a layer, given the gradient with respect to its output. */
type Backward = (gradient: Value) => void;

export interface Program {
  readonly dispatches: readonly Dispatch[];
  readonly tensors: ReadonlySet<Tensor>;
  /** The logits, which stay in memory after the last dispatch. */
  readonly logits: Tensor;
}

export function buildProgram(mode: Mode, settings: ProgramSettings): Program {
  const lowering = new Lowering(mode, settings);
  const logits = lowering.lower();
  const { dispatches, tensors } = lowering.program;
  logits.last = dispatches.length;
  return { dispatches, tensors, logits };
}

/** Returns, for each layer, whether the gradient with respect to its output is needed. */
function neededGradients(layers: readonly Layer[]): boolean[] {
  const needed: boolean[] = [];
  for (const layer of layers) {
    needed.push(arraysOf(layer).some((array) => array?.trainable) || layer.inputs.some((input) => needed[input]));
  }
  return needed;
}

function arraysOf(layer: Layer) {
  switch (layer.op) {
    case 'conv2d':
    case 'dense':
      return [layer.kernel, layer.bias];
    case 'batchNorm':
      return [layer.gamma, layer.beta];
    default:
      return [];
  }
}

class Lowering {
  readonly program = new ProgramBuilder();
  readonly #mode: Mode;
  readonly #settings: ProgramSettings;
  readonly #layers: readonly Layer[];
  readonly #needed: readonly boolean[];
  readonly #values: Value[] = [];
  readonly #backward: Backward[] = [];
  /** Contributions to the gradient with respect to each layer's output. */
  readonly #gradients: Value[][];
  #group = '';

  constructor(mode: Mode, settings: ProgramSettings) {
    this.#mode = mode;
    this.#settings = settings;
    this.#layers = settings.layout.layers;
    this.#needed = neededGradients(this.#layers);
    this.#gradients = this.#layers.map(() => []);
  }

  /** Returns the logits. */
  lower(): Tensor {
    for (const layer of this.#layers) {
      this.#group = groupOf(layer);
      const inputs = layer.inputs.map((input) => this.#values[input]);
      this.#backward.push(() => {});
      const value = this.#forward(layer, inputs);
      this.#values.push(this.program.store(value, 'forward', this.#group));
    }
    const logits = this.#loss();
    if (this.#mode === 'evaluate') return logits;
    for (const layer of this.#layers.toReversed()) {
      if (!this.#needed[layer.index]) continue;
      this.#group = groupOf(layer);
      const contributions = this.#gradients[layer.index];
      const gradient = contributions.length === 1 ? contributions[0] : new Sum(contributions);
      this.#backward[layer.index](this.program.store(gradient, 'other gradients', this.#group));
    }
    return logits;
  }

  #loss(): Tensor {
    const { format, labelSmoothing } = this.#settings;
    const last = this.#layers.at(-1)!;
    const classes = last.shape[0];
    const logits = (this.#values[last.index] as Stored).resource as Tensor;
    this.#group = 'loss';
    if (this.#mode === 'evaluate') {
      this.#add(lossKernel(format, classes, 0, logits, null), 'loss');
      return logits;
    }
    const gradient = new Stored(last.shape);
    this.#add(lossKernel(format, classes, labelSmoothing, logits, gradient.resource), 'loss');
    this.#gradients[last.index].push(gradient);
    return logits;
  }

  #add(kernel: Parameters<ProgramBuilder['add']>[0], phase: Phase): void {
    this.program.add(kernel, phase, this.#group);
  }

  /** Adds a contribution to the gradient with respect to an input of a layer, if it is needed. */
  #contribute(layer: Layer, input: number, contribution: () => Value): void {
    const index = layer.inputs[input];
    if (this.#needed[index]) this.#gradients[index].push(contribution());
  }

  /** Sets how a layer with one input computes the gradient with respect to it. */
  #withGradient(layer: Layer, contribution: (gradient: Value) => Value): void {
    this.#backward[layer.index] = (gradient) => this.#contribute(layer, 0, () => contribution(gradient));
  }

  #forward(layer: Layer, inputs: readonly Value[]): Value {
    const [x] = inputs;
    switch (layer.op) {
      case 'input': {
        const output = new Stored(layer.shape);
        this.#add(imagesKernel(this.#settings.format, this.#settings.tables, output.resource), 'images');
        return output;
      }
      case 'conv2d':
        return this.#convolution(layer, x);
      case 'dense':
        return this.#dense(layer, x);
      case 'batchNorm':
        return this.#batchNorm(layer, x);
      case 'relu':
      case 'relu6':
      case 'gelu':
      case 'silu':
      case 'sigmoid':
        this.#withGradient(layer, (gradient) => new ActivationGradient(layer.op, gradient, x));
        return new Activated(layer.op, x);
      case 'maxPool':
      case 'averagePool':
        return this.#pool(layer, layer, layer.op === 'maxPool', x);
      case 'globalAveragePool':
      case 'globalMaxPool':
        return this.#globalPool(layer, x);
      case 'add':
        this.#backward[layer.index] = (gradient) =>
          inputs.forEach((_, index) => this.#contribute(layer, index, () => gradient));
        return new Sum(inputs);
      case 'multiply':
        return this.#multiply(layer, inputs);
      case 'concat':
        this.#backward[layer.index] = (gradient) => {
          let first = 0;
          for (const [index, input] of inputs.entries()) {
            const start = first;
            this.#contribute(layer, index, () => new ChannelSlice(input.shape, gradient, start));
            first += input.channels;
          }
        };
        return new Concatenated(layer.shape, inputs);
      case 'pad':
        this.#withGradient(layer, (gradient) => new Cropped(x.shape, gradient, layer));
        return new Padded(layer.shape, x, layer);
      case 'flatten':
      case 'reshape':
        this.#withGradient(layer, (gradient) => reshaped(x.shape, gradient));
        return reshaped(layer.shape, x);
      case 'dropout':
        return this.#dropout(layer, x);
      case 'scale': {
        const { factors, offsets } = this.#settings.fixed.scales.get(layer.index)!;
        this.#withGradient(layer, (gradient) => new Scaled(gradient, factors, null));
        return new Scaled(x, factors, offsets);
      }
      default:
        return layer satisfies never;
    }
  }

  #dense(layer: DenseLayer, x: Value): Value {
    const geometry: Geometry = {
      height: 1,
      width: 1,
      channels: layer.inputShapes[0][0],
      outHeight: 1,
      outWidth: 1,
      filters: layer.units,
      kernelSize: [1, 1],
      strides: [1, 1],
      padding: { top: 0, bottom: 0, left: 0, right: 0 },
    };
    return this.#product(layer, geometry, x);
  }

  #convolution(layer: Conv2dLayer, x: Value): Value {
    const [height, width, channels] = layer.inputShapes[0];
    const [outHeight, outWidth, filters] = layer.shape;
    const { kernelSize, strides, padding, groups } = layer;
    const geometry = { height, width, channels, outHeight, outWidth, filters, kernelSize, strides, padding };
    return groups === 1 ? this.#product(layer, geometry, x) : this.#grouped(layer, { ...geometry, groups }, x);
  }

  #product(layer: Conv2dLayer | DenseLayer, g: Geometry, x: Value): Value {
    const filters = this.#weights(layer.kernel);
    const output = new Stored(layer.shape);
    this.#add(forwardKernel(g, x, filters, this.#weightsOrNull(layer.bias), output.resource), 'forward');
    this.#backward[layer.index] = (gradient) => {
      this.#filterGradient(layer, g, (partials) => filterGradientKernel(g, x, gradient, partials));
      this.#biasGradient(layer, gradient);
      this.#contribute(layer, 0, () => {
        const toInput = new Stored(x.shape);
        this.#add(inputGradientKernel(g, gradient, filters, toInput.resource), 'input gradients');
        return toInput;
      });
    };
    return output;
  }

  #grouped(layer: Conv2dLayer, g: GroupedGeometry, x: Value): Value {
    const filters = this.#weights(layer.kernel);
    const output = new Stored(layer.shape);
    this.#add(groupedForwardKernel(g, x, filters, this.#weightsOrNull(layer.bias), output.resource), 'forward');
    this.#backward[layer.index] = (gradient) => {
      this.#filterGradient(layer, g, (partials) => groupedFilterGradientKernel(g, x, gradient, partials));
      this.#biasGradient(layer, gradient);
      this.#contribute(layer, 0, () => {
        const toInput = new Stored(x.shape);
        this.#add(groupedInputGradientKernel(g, gradient, filters, toInput.resource), 'input gradients');
        return toInput;
      });
    };
    return output;
  }

  #filterGradient(
    { kernel }: Conv2dLayer | DenseLayer,
    g: Geometry,
    kernelFor: (partials: Tensor) => Parameters<ProgramBuilder['add']>[0],
  ): void {
    if (!kernel.trainable) return;
    const pixels = g.outHeight * g.outWidth;
    const strips = new Extent(pixels, { per: stripPixels(pixels) });
    const partials = new Tensor(new Extent(pixels, { per: stripPixels(pixels), times: kernel.size }));
    this.#add(kernelFor(partials), 'filter gradients');
    this.#add(stripSumKernel(partials, strips, kernel.size, this.#gradientOf(kernel)!), 'filter gradients');
  }

  #biasGradient({ bias, shape }: Conv2dLayer | DenseLayer, gradient: Value): void {
    if (!bias?.trainable) return;
    const channels = shape.at(-1)!;
    const columns = { pixels: sizeOf(shape) / channels, channels };
    const partials = partialsOf(columns, 1);
    this.#add(
      columnSumKernel(columns, (kernel) => [gradient.load(kernel, 1)], partials),
      'other gradients',
    );
    const strips = { total: new Extent(columns.pixels), count: stripsOf(columns) };
    this.#add(mergeSumsKernel(partials, strips, channels, [this.#gradientOf(bias)], null), 'other gradients');
  }

  #batchNorm(layer: BatchNormLayer, x: Value): Value {
    const { fixed } = this.#settings;
    const channels = layer.mean.size;
    const norm = new Tensor(4 * channels);
    const arrays = {
      gamma: this.#weightsOrNull(layer.gamma),
      beta: this.#weightsOrNull(layer.beta),
      epsilon: layer.epsilon,
      channels,
      norm,
    };
    const output = new Normalized([x], norm);
    if (this.#mode === 'evaluate') {
      const moving = { mean: fixed.moving(layer.mean), variance: fixed.moving(layer.variance) };
      this.#add(movingNormKernel(arrays, moving), 'forward');
      return output;
    }
    const columns = { pixels: sizeOf(layer.shape) / channels, channels };
    const partials = partialsOf(columns, 2);
    const strips = { total: new Extent(columns.pixels), size: stripOf(columns), count: stripsOf(columns) };
    const statistics = { mean: fixed.statistics(layer.mean), variance: fixed.statistics(layer.variance) };
    this.#add(stripStatisticsKernel(columns, x, partials), 'forward');
    this.#add(mergeStatisticsKernel(partials, strips, arrays, statistics), 'forward');
    this.#backward[layer.index] = (gradient) => {
      const sums = partialsOf(columns, 2);
      const means = new Tensor(2 * channels);
      const products = new GammaGradient([gradient, x], norm);
      const terms = [gradient, products];
      this.#add(
        columnSumKernel(columns, (kernel) => terms.map((term) => term.load(kernel, 1)), sums),
        'other gradients',
      );
      const outputs = [this.#gradientOf(layer.beta), this.#gradientOf(layer.gamma)];
      this.#add(mergeSumsKernel(sums, strips, channels, outputs, means), 'other gradients');
      this.#contribute(layer, 0, () => new NormGradient(gradient, x, norm, means));
    };
    return output;
  }

  #pool(layer: PoolLayer | GlobalPoolLayer, windows: Windows, isMaximum: boolean, x: Value): Value {
    const output = new Stored(layer.shape);
    const positions = isMaximum ? new Tensor(new Extent(sizeOf(layer.shape))) : null;
    this.#add(poolKernel(windows, x, output.resource, positions), 'forward');
    this.#withGradient(layer, (gradient) => {
      const toInput = new Stored(x.shape);
      this.#add(poolGradientKernel(windows, gradient, positions, toInput.resource), 'other gradients');
      return toInput;
    });
    return output;
  }

  #globalPool(layer: GlobalPoolLayer, x: Value): Value {
    const [height, width] = x.shape;
    const output = new Stored(layer.shape);
    if (layer.op === 'globalAveragePool') {
      const share = 1 / (height * width);
      this.#add(pixelSumKernel(x, share, output.resource), 'forward');
      this.#withGradient(layer, (gradient) => new Spread(x.shape, gradient, share));
      return output;
    }
    const windows: Windows = {
      poolSize: [height, width],
      strides: [1, 1],
      padding: { top: 0, bottom: 0, left: 0, right: 0 },
      inputShapes: layer.inputShapes,
      shape: [1, 1, ...layer.shape],
    };
    const positions = new Tensor(new Extent(layer.shape[0]));
    this.#add(poolKernel(windows, x, output.resource, positions), 'forward');
    this.#withGradient(layer, (gradient) => new PeakGradient(x.shape, gradient, positions));
    return output;
  }

  #multiply(layer: Layer, [x, y]: readonly Value[]): Value {
    const isPerChannel = sizeOf(x.shape) !== sizeOf(y.shape);
    const factor = isPerChannel ? new Spread(x.shape, y) : y;
    this.#backward[layer.index] = (gradient) => {
      this.#contribute(layer, 0, () => new Product([gradient, factor]));
      this.#contribute(layer, 1, () => {
        const products = new Product([gradient, x]);
        if (!isPerChannel) return products;
        const sums = new Stored(y.shape);
        this.#add(pixelSumKernel(products, 1, sums.resource), 'other gradients');
        return sums;
      });
    };
    return new Product([x, factor]);
  }

  #dropout(layer: DropoutLayer, x: Value): Value {
    if (this.#mode === 'evaluate') {
      return x;
    }
    const mask = new Stored(layer.shape, { buffer: `mask${layer.index}`, offset: 0 });
    this.#withGradient(layer, (gradient) => new Product([gradient, mask]));
    return new Product([x, mask]);
  }

  #weights(array: { name: string; size: number }): Region {
    return this.#settings.fixed.weights(array);
  }

  #weightsOrNull(array: { name: string; size: number } | null): Region | null {
    return array === null ? null : this.#weights(array);
  }

  /** Returns where the gradient of an array belongs; null if it is not needed. */
  #gradientOf(array: { name: string; size: number; trainable: boolean } | null): Region | null {
    return array?.trainable ? this.#settings.fixed.gradient(array) : null;
  }
}

function reshaped(shape: readonly number[], value: Value): Value {
  return value instanceof Stored ? new Stored(shape, value.resource) : new Reshaped(shape, [value]);
}

/** Returns a tensor for partial sums of each channel. */
function partialsOf(columns: { pixels: number; channels: number }, sums: number): Tensor {
  return new Tensor(new Extent(columns.pixels, { per: stripOf(columns), times: sums * columns.channels }));
}

function groupOf({ name }: Layer): string {
  return name.split('/')[0];
}

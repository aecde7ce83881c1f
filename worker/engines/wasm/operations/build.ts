// Turns the layers of a network into operations, and layers that can be computed together into one.
import type {
  ActivationLayer,
  BatchNormLayer,
  DropoutLayer,
  Layer,
  PadLayer,
} from '../../../../shared/network/layers.js';
import { activations } from '../../../../shared/network/graph.js';
import { neededGradients } from '../../../../shared/network/needed-gradients.js';
import { Convolution } from './convolution.js';
import { Dense } from './dense.js';
import { Activation, Dropout, Product, Scale, Sum } from './elementwise.js';
import { InputImages, Loss } from './ends.js';
import { Normalization } from './normalization.js';
import { Value, type Operation, type ProgramContext } from './operation.js';
import { GlobalAverage, NarrowedShortcut, Pooling } from './pooling.js';
import { Concatenation, Padding, Reshaping } from './shapes.js';

export interface Operations {
  /** In the order of the forward pass. */
  inOrder: readonly Operation[];
  loss: Loss;
  dropouts: readonly { layer: DropoutLayer; operation: Dropout }[];
}

export function buildOperations(context: ProgramContext): Operations {
  return new OperationBuilder(context).build();
}

class OperationBuilder {
  readonly #context: ProgramContext;
  readonly #layers: readonly Layer[];
  /** Layers that use each layer's output. */
  readonly #users: Layer[][];
  readonly #values = new Map<number, Value>();
  /** Layers whose output no operation computes, because they are part of an operation with a later layer. */
  readonly #absorbed = new Set<number>();
  readonly #needed: readonly boolean[];
  readonly #operations: Operation[] = [];
  readonly #dropouts: { layer: DropoutLayer; operation: Dropout }[] = [];

  constructor(context: ProgramContext) {
    this.#context = context;
    this.#layers = context.fixed.layout.layers;
    this.#needed = neededGradients(this.#layers);
    this.#users = this.#layers.map(() => []);
    for (const layer of this.#layers) for (const input of layer.inputs) this.#users[input].push(layer);
  }

  build(): Operations {
    const parts = this.#normalizationParts();
    for (const layer of this.#layers) {
      const user = this.#onlyUser(layer);
      if (user !== undefined && isNarrowedShortcut(layer, user)) this.#absorbed.add(layer.index);
    }
    for (const layer of this.#layers) {
      if (this.#absorbed.has(layer.index)) continue;
      const norm = parts.get(layer.index);
      this.#operations.push(norm === undefined ? this.#operation(layer) : this.#normalization(norm, layer));
    }
    for (const operation of this.#operations) connectNormalization(operation);
    const last = this.#layers.at(-1)!;
    const loss = new Loss(this.#context, last, this.#values.get(last.index)!);
    return { inOrder: [...inForwardOrder(this.#operations), loss], loss, dropouts: this.#dropouts };
  }

  /** Returns the parts of each normalization by the index of its last layer, and marks the others as absorbed. */
  #normalizationParts(): Map<number, NormalizationLayers> {
    const parts = new Map<number, NormalizationLayers>();
    const depths = depthsOf(this.#layers);
    /** Sums that are part of a normalization. */
    const takenSums = new Set<number>();
    // Deeper batch norms first: of the two that a sum may combine, the one at the end of the longer branch.
    const batchNorms = this.#layers
      .filter((layer) => layer.op === 'batchNorm')
      .toSorted((a, b) => depths[b.index] - depths[a.index] || a.index - b.index);
    for (const batchNorm of batchNorms) {
      const layers: NormalizationLayers = { batchNorm, addend: null, activation: null };
      let last: Layer = batchNorm;
      const sum = this.#onlyUser(last);
      if (
        sum?.op === 'add' &&
        sum.inputs.length === 2 &&
        !takenSums.has(sum.index) &&
        sum.inputs[0] !== sum.inputs[1]
      ) {
        takenSums.add(sum.index);
        layers.addend = sum.inputs.find((input) => input !== batchNorm.index)!;
        this.#absorbed.add(last.index);
        last = sum;
      }
      const activation = this.#onlyUser(last);
      if (activation !== undefined && isActivation(activation)) {
        layers.activation = activation.op;
        this.#absorbed.add(last.index);
        last = activation;
      }
      parts.set(last.index, layers);
    }
    return parts;
  }

  #onlyUser(layer: Layer): Layer | undefined {
    const users = this.#users[layer.index];
    return users.length === 1 ? users[0] : undefined;
  }

  #normalization({ batchNorm, addend, activation }: NormalizationLayers, last: Layer): Normalization {
    return new Normalization(this.#context, {
      layer: batchNorm,
      source: this.#valueOf(batchNorm.inputs[0]),
      addend: addend === null ? null : this.#valueOf(addend),
      activation,
      output: this.#newValue(last),
      isRecomputed: addend === null && this.#isRecomputed(last),
    });
  }

  /**
   * Returns whether to compute a layer's output again in the backward pass: if only a convolution without stride uses
   * it, which then finds it in the cache.
   */
  #isRecomputed(layer: Layer): boolean {
    const user = this.#onlyUser(layer);
    return user?.op === 'conv2d' && user.shape[0] === layer.shape[0] && user.shape[1] === layer.shape[1];
  }

  #operation(layer: Layer): Operation {
    const context = this.#context;
    const inputs = layer.inputs.map((input) => this.#valueOf(input));
    const output = this.#newValue(layer);
    const [input] = inputs;
    switch (layer.op) {
      case 'input':
        return new InputImages(context, layer, output);
      case 'conv2d':
        return new Convolution(context, layer, input, output);
      case 'dense':
        return new Dense(context, layer, input, output);
      case 'relu':
      case 'relu6':
      case 'gelu':
      case 'silu':
      case 'sigmoid':
        return new Activation(context, layer, input, output);
      case 'maxPool':
      case 'averagePool':
      case 'globalMaxPool':
        return new Pooling(context, layer, input, output);
      case 'globalAveragePool':
        return new GlobalAverage(context, layer, input, output);
      case 'add':
        return new Sum(context, layer, inputs, output);
      case 'multiply':
        return new Product(context, layer, inputs, output);
      case 'concat':
        return new Concatenation(context, layer, inputs, output);
      case 'pad':
        return this.#padding(layer, input, output);
      case 'flatten':
      case 'reshape':
        return new Reshaping(context, layer, input, output);
      case 'scale':
        return new Scale(context, layer, input, output);
      case 'dropout': {
        const operation = new Dropout(context, layer, input, output);
        this.#dropouts.push({ layer, operation });
        return operation;
      }
      case 'batchNorm':
        throw new Error('a batch norm is always a part of a normalization');
      default:
        return layer satisfies never;
    }
  }

  #padding(layer: PadLayer, input: Value, output: Value): Operation {
    const sampled = this.#layers[layer.inputs[0]];
    return this.#absorbed.has(sampled.index)
      ? new NarrowedShortcut(this.#context, layer, this.#valueOf(sampled.inputs[0]), output)
      : new Padding(this.#context, layer, input, output);
  }

  #valueOf(layer: number): Value {
    return this.#values.get(layer)!;
  }

  #newValue({ index, shape }: Layer): Value {
    const isLast = index === this.#layers.length - 1;
    const value = new Value(shape, this.#users[index].length + (isLast ? 1 : 0), this.#needed[index]);
    this.#values.set(index, value);
    return value;
  }
}

/** Layers of a normalization. */
interface NormalizationLayers {
  batchNorm: BatchNormLayer;
  /** Index of the layer whose output is added. */
  addend: number | null;
  activation: ActivationLayer['op'] | null;
}

function isActivation(layer: Layer): layer is ActivationLayer {
  return (activations as readonly string[]).includes(layer.op);
}

/** Returns whether two layers are the identity shortcut of He et al. 2016, which has a kernel of its own. */
function isNarrowedShortcut(pool: Layer, pad: Layer): boolean {
  if (pool.op !== 'averagePool' || pad.op !== 'pad') return false;
  const { poolSize, strides, inputShapes } = pool;
  const [height, width, channels] = inputShapes[0];
  const isEverySecond = [...poolSize, ...strides].join() === '1,1,2,2';
  const margins = [...pad.rows, ...pad.columns, ...pad.channels].join();
  return (
    isEverySecond && height === width && channels % 4 === 0 && margins === `0,0,0,0,${channels / 2},${channels / 2}`
  );
}

/** Returns the length of the longest path from the input to each layer. */
function depthsOf(layers: readonly Layer[]): number[] {
  const depths: number[] = [];
  for (const { inputs } of layers) depths.push(1 + Math.max(-1, ...inputs.map((input) => depths[input])));
  return depths;
}

/** Tells a convolution about the batch norm after it, which replaces its bias and uses its sums. */
function connectNormalization(operation: Operation): void {
  if (!(operation instanceof Normalization)) return;
  const { producer, uses } = operation.source;
  if (producer instanceof Convolution && uses === 1) producer.normalization = operation;
}

/**
 * Sorts operations by the length of the longest path from the input, so that parallel branches are computed in the same
 * passes. Among operations at the same distance, those of shorter branches are first: in the backward pass they come
 * last, and add to gradients that the longer branches have written.
 */
function inForwardOrder(operations: readonly Operation[]): Operation[] {
  const depths = new Map<Operation, number>();
  const heights = new Map<Operation, number>(operations.map((operation) => [operation, 0]));
  const producersOf = ({ inputs }: Operation) => inputs.map(({ producer }) => producer);
  for (const operation of operations) {
    const before = producersOf(operation).map((producer) => depths.get(producer)!);
    depths.set(operation, 1 + Math.max(-1, ...before));
  }
  for (const operation of operations.toReversed()) {
    const height = heights.get(operation)! + 1;
    for (const producer of producersOf(operation)) heights.set(producer, Math.max(heights.get(producer)!, height));
  }
  return operations.toSorted((a, b) => depths.get(a)! - depths.get(b)! || heights.get(a)! - heights.get(b)!);
}

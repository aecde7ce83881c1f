// The state of a network's lowering: values and gradients of its layers, and which of them are stored.
import type { RecordFormat } from '../../../../shared/dataset/record-format.js';
import { groupOf, type Layer } from '../../../../shared/network/layers.js';
import type { ModelLayout } from '../../../../shared/network/layout.js';
import { neededGradients } from '../../../../shared/network/needed-gradients.js';
import { maxStripSums, stripSumsKernel, type PartialSums, type StripSum } from '../kernels/column-sums.js';
import type { InputTables } from '../kernels/ends.js';
import type { Kernel } from '../wgsl/kernel.js';
import type { FixedPlan } from '../memory/fixed-plan.js';
import type { Region, Resource } from '../memory/resources.js';
import { maxBindings, ProgramBuilder, type Phase } from './program.js';
import { distinct, Stored, Sum, type PendingProduct, type Value } from '../values/value.js';

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

/** Maximum numbers of arrays that a value is computed from, so that every kernel can bind all that it reads. */
const maxArrays = { value: 3, gradient: 4, sum: 5 } as const;

/** Operations that load each element of their inputs about once, in any order. */
const singleLoads: ReadonlySet<Layer['op']> = new Set([
  'relu',
  'relu6',
  'gelu',
  'silu',
  'sigmoid',
  'add',
  'multiply',
  'scale',
  'dropout',
  'concat',
  'pad',
  'flatten',
  'reshape',
]);

/** Operations whose backward pass uses each element of the gradient in its place, and batch norm, which sums it too. */
const waitsForMore: ReadonlySet<Layer['op']> = new Set([
  'relu',
  'relu6',
  'gelu',
  'silu',
  'sigmoid',
  'scale',
  'dropout',
  'batchNorm',
]);

export class Lowering {
  readonly mode: Mode;
  readonly settings: ProgramSettings;
  readonly program = new ProgramBuilder();
  /** Values of the layers before the current one. */
  readonly values: Value[] = [];
  /** Sums that the kernels of convolutions write for the batch norms after them, by the convolution's index. */
  readonly moments = new Map<number, PartialSums>();
  /** Group of layers that new dispatches belong to. */
  group = '';
  readonly #layers: readonly Layer[];
  readonly #needed: readonly boolean[];
  readonly #users: Layer[][];
  readonly #backward: Backward[];
  /** Contributions to the gradient with respect to each layer's output. */
  readonly #gradients: Value[][];
  /** Arrays in strips that no dispatch adds yet. */
  #strips: StripSum[] = [];

  constructor(mode: Mode, settings: ProgramSettings) {
    this.mode = mode;
    this.settings = settings;
    this.#layers = settings.layout.layers;
    this.#needed = neededGradients(this.#layers);
    this.#backward = this.#layers.map(() => () => {});
    this.#gradients = this.#layers.map(() => []);
    this.#users = this.#layers.map(() => []);
    for (const layer of this.#layers) for (const input of layer.inputs) this.#users[input].push(layer);
  }

  add(kernel: Kernel, phase: Phase): void {
    this.program.add(kernel, phase, this.group);
  }

  /** Adds the value of the next layer. Stores it, unless its users can compute it whenever they load it. */
  setValue(layer: Layer, value: Value): void {
    this.values.push(this.#isDeferred(layer, value) ? value : this.program.store(value, 'forward', this.group));
  }

  /** Returns whether a batch norm needs the statistics of a layer's output. */
  wantsMoments({ index }: Layer): boolean {
    return this.mode === 'train' && this.#users[index].some(({ op }) => op === 'batchNorm');
  }

  /** Sets how the gradients of a layer's inputs and weights are computed. */
  onBackward(layer: Layer, backward: Backward): void {
    this.#backward[layer.index] = backward;
  }

  /** Adds a contribution to the gradient with respect to an input of a layer, if it is needed. */
  contribute(layer: Layer, input: number, contribution: () => Value): void {
    const index = layer.inputs[input];
    if (this.#needed[index]) this.seedGradient(index, contribution());
  }

  /** Adds a contribution to the gradient with respect to a layer's output. */
  seedGradient(index: number, gradient: Value): void {
    const contributions = this.#gradients[index];
    // A kernel has one epilogue, so only the last product can wait for what becomes of it.
    if (gradient.pending !== null) {
      for (const [other, value] of contributions.entries()) {
        if (value.pending !== null) contributions[other] = this.settled(value);
      }
    }
    contributions.push(gradient);
  }

  /** Adds the backward passes of all layers. */
  addBackward(): void {
    for (const layer of this.#layers.toReversed()) {
      if (!this.#needed[layer.index]) continue;
      this.group = groupOf(layer);
      this.#backward[layer.index](this.#gradientFor(layer));
    }
    this.#sumStrips();
  }

  /** Adds the strips of an array, together with those of other arrays. */
  addStrips(sum: StripSum): void {
    this.#strips.push(sum);
    if (this.#strips.length === maxStripSums) this.#sumStrips();
  }

  /** Returns a gradient without a pending product: the kernel of the product computes the rest of it, too, if it can. */
  settled(gradient: Value): Value {
    const { pending } = gradient;
    if (pending === null) return gradient;
    if (fitsEpilogue(pending, gradient.resources)) return pending.addWith(gradient);
    pending.addWith(pending);
    return gradient;
  }

  /** Combines any number of values, of which some are stored in between if a kernel cannot bind all of them. */
  combined(values: readonly Value[], phase: Phase, combine: (values: readonly Value[]) => Value): Value {
    if (values.length === 1) return values[0];
    let group: Value[] = [];
    for (const value of values) {
      const arrays = distinct([...group, value].flatMap(({ resources }) => resources));
      if (arrays.length > maxArrays.sum && group.length > 0) {
        group = [this.program.store(group.length === 1 ? group[0] : combine(group), phase, this.group)];
      }
      group.push(value.resources.length > maxArrays.gradient ? this.program.store(value, phase, this.group) : value);
    }
    return group.length === 1 ? group[0] : combine(group);
  }

  /** Returns a value that a kernel with many loads can compute, from at most four arrays. */
  loadable(gradient: Value): Value {
    const value = this.settled(gradient);
    const isLoadable = value.isCheap && value.resources.length <= maxArrays.gradient && value.tensors <= 2;
    return isLoadable ? value : this.stored(value);
  }

  /** Returns a gradient in memory that is equal to this one. */
  stored(gradient: Value): Value {
    return this.program.store(gradient, 'other gradients', this.group);
  }

  weights(array: { name: string; size: number }): Region {
    return this.settings.fixed.weights(array);
  }

  weightsOrNull(array: { name: string; size: number } | null): Region | null {
    return array === null ? null : this.weights(array);
  }

  /** Returns where the gradient of an array belongs; null if it is not needed. */
  gradientOf(array: { name: string; size: number; trainable: boolean } | null): Region | null {
    return array?.trainable ? this.settings.fixed.gradient(array) : null;
  }

  #sumStrips(): void {
    if (this.#strips.length > 0) this.program.add(stripSumsKernel(this.#strips), 'filter gradients', 'sums');
    this.#strips = [];
  }

  #isDeferred({ index }: Layer, value: Value): boolean {
    if (value instanceof Stored) return true;
    if (index === this.#layers.length - 1) return false;
    const users = this.#users[index];
    const arrays = value.resources.length;
    if (users.length > 1 || !isSingleLoad(users[0])) {
      return value.isCheap && value.tensors <= 1 && arrays <= maxArrays.value;
    }
    // The backward pass of a ReLU uses its output instead of its input.
    const isBeforeReLU = users[0].op === 'relu' || users[0].op === 'relu6';
    return arrays <= (isBeforeReLU ? maxArrays.sum : maxArrays.value);
  }

  /** Returns the gradient with respect to a layer's output in a form that suits the layer's backward pass. */
  #gradientFor(layer: Layer): Value {
    const contributions = this.#gradients[layer.index];
    const complete = contributions.filter(({ pending }) => pending === null);
    const product = contributions.find(({ pending }) => pending !== null);
    const combine = (values: readonly Value[]) => this.combined(values, 'other gradients', (terms) => new Sum(terms));
    let gradient: Value;
    if (product === undefined) gradient = combine(complete);
    else if (complete.length === 0) gradient = product;
    else gradient = new Sum([combine(complete), product]);
    const { pending } = gradient;
    if (pending !== null) {
      const canWait = waitsForMore.has(layer.op) && fitsEpilogue(pending, gradient.resources);
      return canWait ? gradient : this.loadable(gradient);
    }
    const isSingle = isSingleLoad(layer) && layer.inputs.length === 1;
    return isSingle && gradient.resources.length <= maxArrays.gradient ? gradient : this.loadable(gradient);
  }
}

/** Returns whether a product's kernel can bind these arrays as well as its own, in addition to `more` others. */
export function fitsEpilogue(pending: PendingProduct, resources: readonly Resource[], more = 0): boolean {
  return distinct([...pending.arrays, ...resources]).length + 1 + more <= maxBindings;
}

/** Pooling over windows of one pixel is as good as a choice of pixels. */
function isSingleLoad(layer: Layer): boolean {
  const isChoice = (layer.op === 'averagePool' || layer.op === 'maxPool') && layer.poolSize.every((size) => size === 1);
  return singleLoads.has(layer.op) || isChoice;
}

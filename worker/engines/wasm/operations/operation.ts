// A layer, or several layers that are computed together, as a part of a program: adds the stages of its forward and
// backward pass.
import { groupOf, type Layer } from '../../../../shared/network/layers.js';
import type { Kernels } from '../kernels.js';
import type { FixedPlan } from '../memory/fixed-plan.js';
import { formOf, Tensor, type Form } from '../memory/tensor.js';
import type { PassBuilder } from '../passes/pass-builder.js';
import type { Phase, Work } from '../passes/pass.js';
import type { Gradients } from './gradients.js';

/** Addresses of arrays that have one element per image, and depend on the number of images. */
export interface ImageArrays {
  records: number;
  augmentations: number;
  losses: number;
  correct: number;
}

/** Settings that the passes of a model depend on. */
export interface PassOptions {
  /** Fraction of each label that training spreads evenly over all classes. */
  labelSmoothing: number;
  /** Whether preprocessing subtracts a separate mean for each pixel. */
  hasPixelMeans: boolean;
}

export type Mode = 'train' | 'evaluate';

/** What the operations of a program share. */
export interface ProgramContext extends PassOptions {
  mode: Mode;
  kernels: Kernels;
  fixed: FixedPlan;
  arrays: ImageArrays;
  passes: PassBuilder;
  gradients: Gradients;
}

/** Output of an operation. */
export class Value {
  readonly shape: readonly number[];
  /** Number of inputs of other operations that this value is. */
  readonly uses: number;
  /** Whether the gradient with respect to this value is needed. */
  readonly needsGradient: boolean;
  /** Holds the value in the forward pass. Unset until the operation has added its stages. */
  tensor: Tensor | null = null;
  producer!: Operation;

  constructor(shape: readonly number[], uses: number, needsGradient: boolean) {
    this.shape = shape;
    this.uses = uses;
    this.needsGradient = needsGradient;
  }

  get form(): Form {
    return formOf(this.shape);
  }

  get pixels(): number {
    return this.shape.length === 1 ? vectorPixels : this.shape[0] * this.shape[1];
  }
}

/**
 * Number of pixels that a vector counts as, when images are divided into tiles and blocks: a block has 16 vectors, so
 * that dense layers load each weight once for several images.
 */
const vectorPixels = 64;

export abstract class Operation {
  readonly context: ProgramContext;
  readonly layer: Layer;
  readonly inputs: readonly Value[];
  readonly output: Value;
  /** Address of a bias that is missing in the output, because a batch norm would cancel it; 0 if there is none. */
  omittedBias = 0;

  constructor(context: ProgramContext, layer: Layer, inputs: readonly Value[], output: Value) {
    this.context = context;
    this.layer = layer;
    this.inputs = inputs;
    this.output = output;
    output.producer = this;
  }

  /** Adds the stages of the forward pass, or prepares for `materialize` to add them. */
  abstract forward(): void;

  /**
   * Adds the stages of the backward pass. The gradient with respect to the output is complete. The operations that use
   * the output have added theirs.
   */
  abstract backward(): void;

  /** Closes the open pass if the output depends on all of its tiles. */
  ensureReady(): void {}

  /** Adds the stage that computes the output, if `forward` did not. Call ensureReady before. */
  materialize(): void {}

  /** Called when the gradient with respect to the output is complete, in the pass that completes it. */
  prepareBackward(): void {}

  /** Returns the tensor with the output for the backward pass. */
  outputForBackward(): Tensor {
    return this.output.tensor!;
  }

  protected work(phase: Phase): Work {
    return { phase, group: groupOf(this.layer) };
  }

  /** Opens a pass with this many pixels, and makes the inputs available in it. */
  protected openWithInputs(pixels: number): void {
    for (const { producer } of this.inputs) producer.ensureReady();
    this.context.passes.open(pixels);
    for (const { producer } of this.inputs) producer.materialize();
  }

  /** Makes the inputs available in the open pass if it computes one of them, otherwise in a new pass. */
  protected joinWithInputs(): void {
    const { passes } = this.context;
    for (const { producer } of this.inputs) producer.ensureReady();
    const isOpen = this.inputs.some(({ tensor }) => tensor !== null && passes.uses(tensor));
    if (!isOpen) passes.open(this.inputs[0].pixels);
    for (const { producer } of this.inputs) producer.materialize();
  }

  /** Continues the open pass if it uses this gradient, otherwise opens one with this many pixels. */
  protected joinWithGradient(gradient: Tensor, pixels: number): void {
    const { passes } = this.context;
    if (!passes.uses(gradient)) passes.open(pixels);
  }
}

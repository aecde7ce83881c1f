// Convolutions, forward and backward: with the Winograd kernels where possible, otherwise with the direct kernels.
import type { Conv2dLayer } from '../../../../shared/network/layers.js';
import { filterSumBytes, type ConvolutionPlan, type GradientPhase } from '../memory/convolution-plan.js';
import { parameterOf, type ParameterPlan } from '../memory/fixed-plan.js';
import { sameForm, Tensor, type Form } from '../memory/tensor.js';
import { startOf, stridesOf } from './addresses.js';
import { Normalization } from './normalization.js';
import { Operation, type ProgramContext, type Value } from './operation.js';

export class Convolution extends Operation {
  readonly #plan: ConvolutionPlan;
  readonly #kernel: ParameterPlan;
  readonly #bias: ParameterPlan;
  readonly #strides: Conv2dLayer['strides'];
  /** Batch norm that is the only operation to use the output. Set before the stages are added. */
  normalization: Normalization | null = null;

  constructor(context: ProgramContext, layer: Conv2dLayer, input: Value, output: Value) {
    super(context, layer, [input], output);
    this.#plan = context.fixed.convolutions.get(layer)!;
    this.#kernel = parameterOf(context.fixed, layer.kernel);
    this.#bias = parameterOf(context.fixed, layer.bias);
    this.#strides = layer.strides;
  }

  get #input(): Value {
    return this.inputs[0];
  }

  forward(): void {
    if (this.normalization !== null) this.omittedBias = this.#bias.value;
    this.openWithInputs(this.output.pixels);
    this.output.tensor = new Tensor(this.output.form);
    if (this.#plan.winograd) this.#addWinogradForward(this.output.tensor, this.#plan.winograd.forward);
    else this.#addDirectForward(this.output.tensor);
    this.normalization?.forward();
  }

  #addWinogradForward(target: Tensor, weights: number): void {
    const { kernels, passes } = this.context;
    const source = this.#input.tensor!;
    const { height } = target.form;
    const { inputDepth } = this.#plan;
    const sums = (this.normalization ?? this).takeSums();
    passes.add({
      ...this.work('convolution'),
      tensors: [source, target],
      run: (block, memory) => {
        const { first, count, tile, continues } = block;
        const from = startOf(source, block, memory);
        const to = startOf(target, block, memory);
        const ofTile = sums.addressOf(tile);
        kernels.winogradForward(from, weights, to, ofTile, continues, height, inputDepth, first, count, memory.scratch);
      },
    });
    this.normalization?.addCoefficients(sums);
    if (this.normalization === null && this.#bias.value !== 0) this.#addBias(target);
  }

  /** Reserves memory for sums that a kernel computes but nothing reads. */
  takeSums() {
    return this.context.passes.takeSums(2 * 4 * this.#plan.outputDepth);
  }

  #addBias(target: Tensor): void {
    void target;
  }

  #addDirectForward(target: Tensor): void {
    const { kernels, passes } = this.context;
    const { inputDepth, outputDepth, forward, source: sourceForm } = this.#plan;
    const { offsets, tapCount, weights } = forward!;
    const source = this.#withBorder(this.#input.tensor!, sourceForm);
    const bias = this.normalization === null ? this.#bias.value : 0;
    const { height, width } = target.form;
    passes.add({
      ...this.work('convolution'),
      tensors: [source, target],
      run: (block, memory) => {
        const from = stridesOf(source, block, memory, { strides: this.#strides });
        const to = stridesOf(target, block, memory);
        const taps = [inputDepth, offsets, tapCount, weights, bias, false] as const;
        kernels.convolve(...from, ...taps, ...to, outputDepth, height, width, block.first, block.count);
      },
    });
  }

  /** Returns a tensor with this form: the given one, or a copy of it with a wider border. */
  #withBorder(tensor: Tensor, form: Form): Tensor {
    if (sameForm({ ...tensor.form, pattern: '' }, form)) return tensor;
    const { kernels, passes } = this.context;
    const copy = new Tensor(form);
    const { height, width, depth } = form;
    passes.add({
      ...this.work('convolution'),
      tensors: [tensor, copy],
      run: (block, memory) => {
        const from = stridesOf(tensor, block, memory);
        const to = stridesOf(copy, block, memory);
        kernels.copyChannels(...from, ...to, false, height, width, depth, block.first, block.count);
      },
    });
    return copy;
  }

  backward(): void {
    const { gradients } = this.context;
    const gradient = gradients.of(this.output);
    this.joinWithGradient(gradient, this.output.pixels);
    if (this.#kernel.gradient !== 0) this.#addFilterGradient(gradient);
    if (this.#bias.gradient !== 0 && this.normalization === null) this.#addBiasGradient(gradient);
    if (this.#input.needsGradient) {
      if (this.#plan.winograd) this.#addWinogradInputGradient(gradient, this.#plan.winograd.turned);
      else this.#addDirectInputGradient(gradient);
    }
    gradients.release(this.output);
  }

  /** Adds the stage that computes the partial sums of the filter gradient, and the task that adds them up. */
  #addFilterGradient(gradient: Tensor): void {
    const { kernels, passes } = this.context;
    const { inputs, inputDepth, outputs, outputDepth, winograd, forward, source: sourceForm } = this.#plan;
    const { height } = gradient.form;
    const sumBytes = filterSumBytes(this.#plan);
    const sums = passes.takeSums(sumBytes);
    const input = this.#input.producer.outputForBackward();
    const work = this.work('filter gradient');
    const target = this.#kernel.gradient;
    if (winograd) {
      passes.add({
        ...work,
        tensors: [input, gradient],
        run: (block, memory) => {
          const { first, count, tile, continues } = block;
          const from = startOf(input, block, memory);
          const other = startOf(gradient, block, memory);
          const shape = [height, inputDepth, first, count, memory.scratch] as const;
          kernels.winogradFilterGradient(from, other, sums.addressOf(tile), continues, ...shape);
        },
      });
      passes.addTask({
        ...work,
        tensors: [],
        tiles: inputs / 4,
        run: (tile, _imageCount, partialCount, { scratch }) =>
          kernels.winogradFilterGradientEnd(sums.addressOf(0), partialCount, target, inputs, 4 * tile, 4, scratch),
      });
      return;
    }
    const { offsets, tapCount } = forward!;
    const source = this.#withBorder(input, sourceForm);
    passes.add({
      ...work,
      tensors: [source, gradient],
      run: (block, memory) => {
        const { first, count, tile, continues } = block;
        const from = stridesOf(source, block, memory, { strides: this.#strides });
        const other = startOf(gradient, block, memory);
        const taps = [inputDepth, offsets, tapCount] as const;
        const ofTile = sums.addressOf(tile);
        kernels.filterGradient(...from, ...taps, other, outputDepth, height, first, count, ofTile, continues);
      },
    });
    passes.addTask({
      ...work,
      tensors: [],
      tiles: 1,
      run: (_tile, _imageCount, partialCount) =>
        kernels.filterGradientEnd(sums.addressOf(0), partialCount, tapCount, inputDepth, inputs, outputs, target),
    });
  }

  #addBiasGradient(gradient: Tensor): void {
    const { kernels, passes } = this.context;
    const { outputs } = this.#plan;
    passes.addTask({
      ...this.work('filter gradient'),
      tensors: [gradient],
      tiles: 1,
      run: (_tile, imageCount) =>
        kernels.biasGradient(gradient.address, this.#bias.gradient, outputs, gradient.form.height, 0, imageCount),
    });
  }

  /**
   * Computes the input gradient. If the input is the output of a batch norm with ReLU, and this is the last contribution
   * to its gradient, also applies the gradient of the ReLU and computes the sums for the batch norm.
   */
  #addWinogradInputGradient(gradient: Tensor, weights: number): void {
    const { kernels, passes, gradients } = this.context;
    const { producer } = this.#input;
    const preceding =
      producer instanceof Normalization && producer.canBePrepared && gradients.isLast(this.#input) ? producer : null;
    const { height } = gradient.form;
    const depth = this.#plan.inputDepth;
    const sums = (preceding ?? this).takeSums();
    const activation = preceding?.outputForBackward();
    const normalized = preceding?.source.tensor ?? undefined;
    const means = preceding?.plan.coefficients ?? 0;
    gradients.contributeWith(this.#input, (target, other) => {
      const tensors = [gradient, target, other, activation, normalized].filter((tensor) => tensor instanceof Tensor);
      passes.add({
        ...this.work('input gradient'),
        tensors,
        run: (block, memory) => {
          const { first, count, tile, continues } = block;
          const addressIn = (tensor: Tensor | null | undefined) => (tensor ? startOf(tensor, block, memory) : 0);
          kernels.winogradInputGradient(
            startOf(gradient, block, memory),
            weights,
            startOf(target, block, memory),
            addressIn(other),
            addressIn(activation),
            addressIn(normalized),
            means,
            sums.addressOf(tile),
            continues,
            height,
            depth,
            first,
            count,
            memory.scratch,
          );
        },
      });
      preceding?.markPrepared(sums);
    });
  }

  #addDirectInputGradient(gradient: Tensor): void {
    const { kernels, passes, gradients } = this.context;
    const { inputGradient, gradientSource, inputDepth, outputDepth } = this.#plan;
    const source = this.#withBorder(gradient, gradientSource);
    gradients.contribute(this.#input, (target, adds) => {
      // Input pixels that no tap reads have the gradient 0.
      const phases = inputGradient.filter(({ taps }) => !adds || taps.tapCount > 0);
      passes.add({
        ...this.work('input gradient'),
        tensors: [source, target],
        run: (block, memory) => {
          const from = stridesOf(source, block, memory);
          for (const { row, column, taps } of phases) {
            const to = stridesOf(target, block, memory, { strides: this.#strides, row, column });
            const [rows, pixels] = this.#pixelsOfPhase({ row, column }, target.form);
            const { offsets, tapCount, weights } = taps;
            const packed = [outputDepth, offsets, tapCount, weights, 0, adds] as const;
            kernels.convolve(...from, ...packed, ...to, inputDepth, rows, pixels, block.first, block.count);
          }
        },
      });
    });
  }

  #pixelsOfPhase({ row, column }: Pick<GradientPhase, 'row' | 'column'>, { height, width }: Form): [number, number] {
    const [vertical, horizontal] = this.#strides;
    return [Math.ceil((height - row) / vertical), Math.ceil((width - column) / horizontal)];
  }
}

// Convolutions, forward and backward: with the Winograd kernels where possible, otherwise with the direct kernels.
import type { Conv2dLayer } from '../../../../shared/network/layers.js';
import { filterSumBytes, groupsOf, type ConvolutionPlan, type GradientPhase } from '../memory/convolution-plan.js';
import { parameterOf, type ParameterPlan } from '../memory/fixed-plan.js';
import { sameForm, Tensor, type Form } from '../memory/tensor.js';
import type { PartialSums } from '../passes/pass-builder.js';
import { gridOf, originIn, startOf, stridesOf } from './addresses.js';
import { Normalization } from './normalization.js';
import { Operation, type ProgramContext, type Value } from './operation.js';

/** Number of channels whose bias gradients a tile computes. */
const tileChannels = 16;

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
    if (this.#plan.filters) this.#addWinogradForward(this.output.tensor, this.#plan.filters.forward);
    else this.#addDirectForward(this.output.tensor);
    this.normalization?.forward();
  }

  /** Address of the bias to add: 0 before a batch norm, which would cancel it. */
  get #addedBias(): number {
    return this.normalization === null ? this.#plan.paddedBias || this.#bias.value : 0;
  }

  #addWinogradForward(target: Tensor, weights: number): void {
    const { kernels, passes } = this.context;
    const source = this.#input.tensor!;
    const { inputDepth, outputDepth, hasWholeTiles } = this.#plan;
    const { height, width } = target.form;
    const bias = this.#addedBias;
    const sums = hasWholeTiles ? this.normalization?.takeSums() : undefined;
    passes.add({
      ...this.work('convolution'),
      tensors: [source, target],
      run: (block, memory) => {
        const { first, count, tile, continues } = block;
        const from = startOf(source, block, memory);
        const to = startOf(target, block, memory);
        const shape = [inputDepth, outputDepth, first, count, memory.scratch] as const;
        if (sums) kernels.winogradForward(from, weights, to, sums.addressOf(tile), continues, height, width, ...shape);
        else kernels.winogradConvolve(from, weights, bias, to, false, height, width, ...shape);
      },
    });
    if (sums) this.normalization!.addCoefficients(sums);
  }

  #addDirectForward(target: Tensor): void {
    const { kernels, passes } = this.context;
    const { method, inputDepth, groups, groupInputs, groupOutputs, forward, source: sourceForm } = this.#plan;
    const { offsets, tapCount, weights } = forward!;
    const source = this.#withBorder(this.#input.tensor!, sourceForm);
    const bias = this.#addedBias;
    const { height, width } = target.form;
    passes.add({
      ...this.work('convolution'),
      tensors: [source, target],
      run: (block, memory) => {
        const range = [height, width, block.first, block.count] as const;
        for (let group = 0; group < groups; group++) {
          const [inputs, outputs] = [group * groupInputs, group * groupOutputs];
          const from = stridesOf(source, block, memory, { strides: this.#strides, channel: inputs });
          const to = stridesOf(target, block, memory, { channel: outputs });
          const ownWeights = weights + 4 * tapCount * inputs * groupOutputs;
          const ownBias = bias === 0 ? 0 : bias + 4 * outputs;
          if (method === 'depthwise') {
            kernels.convolveDepthwise(...from, inputDepth, offsets, tapCount, weights, bias, false, ...to, ...range);
          } else {
            const taps = [groupInputs, offsets, tapCount, ownWeights, ownBias, false] as const;
            kernels.convolve(...from, ...taps, ...to, groupOutputs, ...range);
          }
        }
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
    if (this.#kernel.gradient !== 0) {
      if (this.#plan.filters) this.#addWinogradFilterGradient(gradient);
      else this.#addDirectFilterGradient(gradient);
    }
    if (this.#bias.gradient !== 0 && this.normalization === null) this.#addBiasGradient(gradient);
    if (this.#input.needsGradient) {
      if (this.#plan.filters) this.#addWinogradInputGradient(gradient, this.#plan.filters.turned);
      else this.#addDirectInputGradient(gradient);
    }
    gradients.release(this.output);
  }

  /** Adds the stage that computes the partial sums of the filter gradient, and the task that adds them up. */
  #addWinogradFilterGradient(gradient: Tensor): void {
    const { kernels, passes } = this.context;
    const { inputDepth, outputDepth } = this.#plan;
    const sums = passes.takeSums(filterSumBytes(this.#plan));
    const input = this.#input.producer.outputForBackward();
    const work = this.work('filter gradient');
    const target = this.#kernel.gradient;
    passes.add({
      ...work,
      tensors: [input, gradient],
      run: (block, memory) => {
        const { first, count, tile, continues } = block;
        const from = startOf(input, block, memory);
        const other = startOf(gradient, block, memory);
        const { height, width } = gradient.form;
        const shape = [height, width, inputDepth, outputDepth, first, count, memory.scratch] as const;
        kernels.winogradFilterGradient(from, other, sums.addressOf(tile), continues, ...shape);
      },
    });
    passes.addTask({
      ...work,
      tensors: [],
      tiles: inputDepth / 4,
      run: (tile, _imageCount, partialCount, { scratch }) => {
        const shape = [inputDepth, outputDepth, 4 * tile, 4] as const;
        kernels.winogradFilterGradientEnd(sums.addressOf(0), partialCount, target, ...shape, scratch);
      },
    });
  }

  #addDirectFilterGradient(gradient: Tensor): void {
    const { kernels, passes } = this.context;
    const { method, inputDepth, groups, groupInputs, groupOutputs, forward, source: sourceForm } = this.#plan;
    const { offsets, tapCount } = forward!;
    const { height, width } = gradient.form;
    const sums = passes.takeSums(filterSumBytes(this.#plan));
    const source = this.#withBorder(this.#input.producer.outputForBackward(), sourceForm);
    passes.add({
      ...this.work('filter gradient'),
      tensors: [source, gradient],
      run: (block, memory) => {
        const { first, count, tile, continues } = block;
        for (let group = 0; group < groups; group++) {
          const [inputs, outputs] = [group * groupInputs, group * groupOutputs];
          const from = stridesOf(source, block, memory, { strides: this.#strides, channel: inputs });
          const other = stridesOf(gradient, block, memory, { channel: outputs });
          const ofGroup = sums.addressOf(tile) + 4 * tapCount * inputs * groupOutputs;
          const range = [height, width, first, count, ofGroup, continues] as const;
          if (method === 'depthwise') {
            kernels.depthwiseFilterGradient(...from, inputDepth, offsets, tapCount, ...other, ...range);
          } else {
            kernels.filterGradient(...from, groupInputs, offsets, tapCount, ...other, groupOutputs, ...range);
          }
        }
      },
    });
    passes.addTask({
      ...this.work('filter gradient'),
      tensors: [],
      tiles: 1,
      run: (_tile, _imageCount, partialCount) => this.#addUpFilterGradient(sums, partialCount),
    });
  }

  #addUpFilterGradient(sums: PartialSums, partialCount: number): void {
    const { kernels } = this.context;
    const plan = this.#plan;
    const { method, layer, groups, groupInputs, groupOutputs, inputDepth, outputDepth, stagedGradient } = plan;
    const { tapCount } = plan.forward!;
    const bytes = filterSumBytes(plan);
    const target = this.#kernel.gradient;
    if (method === 'depthwise') {
      const shape = [bytes, 1, tapCount, layer.filters, target, tapCount, outputDepth] as const;
      kernels.addPartialSums(sums.addressOf(0), partialCount, ...shape);
      return;
    }
    const inputs = stagedGradient === 0 ? layer.inputShapes[0][2] : groupInputs;
    const groupBytes = 4 * tapCount * groupInputs * groupOutputs;
    for (let group = 0; group < groups; group++) {
      const from = [sums.addressOf(0) + group * groupBytes, partialCount, bytes] as const;
      const to = stagedGradient === 0 ? target : stagedGradient + group * groupBytes;
      kernels.filterGradientEnd(...from, tapCount, groupInputs, inputs, groupOutputs, to);
    }
    if (stagedGradient === 0) return;
    if (method === 'expanded') {
      kernels.collectGroups(stagedGradient, ...groupsOf(plan), target, inputDepth, outputDepth);
      return;
    }
    const { filters } = layer;
    for (let group = 0; group < groups; group++) {
      // Taps are images, and input channels are rows.
      const from = [stagedGradient + group * groupBytes, 4 * groupInputs * groupOutputs, 4 * groupOutputs, 0] as const;
      const to = [target + 4 * group * groupOutputs, 4 * groupInputs * filters, 4 * filters, 0] as const;
      kernels.copyChannels(...from, ...to, false, groupInputs, 1, groupOutputs, 0, tapCount);
    }
  }

  #addBiasGradient(gradient: Tensor): void {
    const { kernels, passes } = this.context;
    const { channels } = gradient.form;
    passes.addTask({
      ...this.work('filter gradient'),
      tensors: [gradient],
      tiles: Math.ceil(channels / tileChannels),
      run: (tile, imageCount, _partialCount, memory) => {
        const block = { first: 0, count: imageCount, tile: 0, continues: false };
        const first = tile * tileChannels;
        const range = [first, Math.min(tileChannels, channels - first)] as const;
        const from = originIn(gradient, block, memory);
        kernels.biasGradient(from, this.#bias.gradient, ...range, ...gridOf(gradient.form, block));
      },
    });
  }

  #addWinogradInputGradient(gradient: Tensor, weights: number): void {
    const { kernels, passes, gradients } = this.context;
    const { inputDepth, outputDepth, hasWholeTiles } = this.#plan;
    const { producer } = this.#input;
    if (hasWholeTiles && producer instanceof Normalization && producer.canBePrepared && gradients.isLast(this.#input)) {
      this.#addMaskedInputGradient(gradient, weights, producer);
      return;
    }
    gradients.contribute(this.#input, (target, adds) => {
      const { height, width } = target.form;
      passes.add({
        ...this.work('input gradient'),
        tensors: [gradient, target],
        run: (block, memory) => {
          const from = startOf(gradient, block, memory);
          const to = startOf(target, block, memory);
          const shape = [height, width, outputDepth, inputDepth, block.first, block.count, memory.scratch] as const;
          kernels.winogradConvolve(from, weights, 0, to, adds, ...shape);
        },
      });
    });
  }

  /**
   * Adds the stage that computes the last contribution to the gradient with respect to the output of a batch norm with
   * ReLU. It also applies the gradient of the ReLU and computes the sums for the batch norm.
   */
  #addMaskedInputGradient(gradient: Tensor, weights: number, preceding: Normalization): void {
    const { kernels, passes, gradients } = this.context;
    const { inputDepth, outputDepth } = this.#plan;
    const sums = preceding.takeSums();
    const activation = preceding.outputForBackward();
    const normalized = preceding.source.tensor!;
    const means = preceding.plan.coefficients;
    gradients.contributeWith(this.#input, (target, other) => {
      passes.add({
        ...this.work('input gradient'),
        tensors: [gradient, target, activation, normalized, ...(other ? [other] : [])],
        run: (block, memory) => {
          const { first, count, tile, continues } = block;
          kernels.winogradInputGradient(
            startOf(gradient, block, memory),
            weights,
            startOf(target, block, memory),
            other === null ? 0 : startOf(other, block, memory),
            startOf(activation, block, memory),
            startOf(normalized, block, memory),
            means,
            sums.addressOf(tile),
            continues,
            target.form.height,
            target.form.width,
            inputDepth,
            outputDepth,
            first,
            count,
            memory.scratch,
          );
        },
      });
      preceding.markPrepared(sums);
    });
  }

  #addDirectInputGradient(gradient: Tensor): void {
    const { kernels, passes, gradients } = this.context;
    const { method, inputGradient, gradientSource, outputDepth, groups, groupInputs, groupOutputs } = this.#plan;
    const source = this.#withBorder(gradient, gradientSource);
    gradients.contribute(this.#input, (target, adds) => {
      // Input pixels that no tap reads have the gradient 0.
      const phases = inputGradient
        .filter(({ taps }) => !adds || taps.tapCount > 0)
        .map((phase) => ({ ...phase, pixels: this.#pixelsOfPhase(phase, target.form) }));
      passes.add({
        ...this.work('input gradient'),
        tensors: [source, target],
        run: (block, memory) => {
          for (const { row, column, taps, pixels } of phases) {
            const { offsets, tapCount, weights } = taps;
            const range = [...pixels, block.first, block.count] as const;
            for (let group = 0; group < groups; group++) {
              const [inputs, outputs] = [group * groupInputs, group * groupOutputs];
              const from = stridesOf(source, block, memory, { channel: outputs });
              const to = stridesOf(target, block, memory, { strides: this.#strides, row, column, channel: inputs });
              if (method === 'depthwise') {
                kernels.convolveDepthwise(...from, outputDepth, offsets, tapCount, weights, 0, adds, ...to, ...range);
              } else {
                const ownWeights = weights + 4 * tapCount * inputs * groupOutputs;
                const packed = [groupOutputs, offsets, tapCount, ownWeights, 0, adds] as const;
                kernels.convolve(...from, ...packed, ...to, groupInputs, ...range);
              }
            }
          }
        },
      });
    });
  }

  #pixelsOfPhase({ row, column }: GradientPhase, { height, width }: Form): readonly [rows: number, pixels: number] {
    const [vertical, horizontal] = this.#strides;
    return [Math.ceil((height - row) / vertical), Math.ceil((width - column) / horizontal)];
  }
}

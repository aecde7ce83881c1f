// Convolutions, forward and backward: with the Winograd kernels where possible, otherwise with the direct kernels.
import type { Strides } from '../kernels.js';
import { filterSumBytes, type ConvPlan } from '../memory/fixed-plan.js';
import { addressOf, firstPixel, type AnyTensor, type Tensor, type ThreadTensor } from '../memory/tensor.js';
import { batchNormSums, type BatchNormPasses } from './batch-norm-passes.js';
import type { NormalizedLayer } from './layers.js';
import type { LayerGroup, PassList, Stage, StepContext, Work } from './pass.js';

/** Returns the strides for visiting every stride-th pixel of the tensor at this address, from pixel (row, column). */
function stridesOf(tensor: AnyTensor, address: number, stride = 1, row = 0, column = 0): Strides {
  const { size, channels } = tensor;
  const pixelBytes = 4 * channels;
  const rowBytes = (size + 2) * pixelBytes;
  const start = firstPixel(address, tensor) + row * rowBytes + column * pixelBytes;
  return [start, (size + 2) * rowBytes, stride * rowBytes, stride * pixelBytes];
}

export class ConvolutionPasses {
  readonly #step: StepContext;
  readonly #list: PassList;
  readonly #batchNorm: BatchNormPasses;

  constructor(step: StepContext, list: PassList, batchNorm: BatchNormPasses) {
    this.#step = step;
    this.#list = list;
    this.#batchNorm = batchNorm;
  }

  /**
   * Computes a layer's convolution and the partial sums for its batch norm. Omits the bias, because the coefficients of
   * the batch norm account for it.
   */
  forward({ group, conv, convolved }: NormalizedLayer, source: AnyTensor): Stage[] {
    const { kernels, fixed } = this.#step;
    const { address, size, channels } = convolved;
    if (conv.winograd) {
      const { forward } = conv.winograd;
      const run: Stage['run'] = ({ first, count, tile, continues }, memory) => {
        const from = addressOf(source, first, memory);
        const sums = batchNormSums(fixed, tile, channels);
        kernels.winogradForward(from, forward, address, sums, continues, size, channels, first, count, memory.scratch);
      };
      return [{ phase: 'convolution', group, run }];
    }
    const run: Stage['run'] = ({ first, count, tile, continues }) =>
      kernels.sumForStatistics(address, batchNormSums(fixed, tile, channels), continues, size, channels, first, count);
    return [
      this.direct({ phase: 'convolution', group }, conv, source, convolved, 0),
      { phase: 'batch norm', group, run },
    ];
  }

  /** Computes a direct convolution. @param bias address of the bias to add, or 0 */
  direct(work: Work, plan: ConvPlan, source: AnyTensor, target: Tensor, bias: number): Stage {
    const { kernels } = this.#step;
    const { depth } = plan;
    const { offsets, tapCount, weights } = plan.forward!;
    const to = stridesOf(target, target.address);
    const { size, channels } = target;
    const run: Stage['run'] = ({ first, count }, memory) => {
      const from = stridesOf(source, addressOf(source, first, memory), plan.layer.stride);
      kernels.convolve(
        ...from,
        depth,
        offsets,
        tapCount,
        weights,
        bias,
        false,
        ...to,
        channels,
        size,
        size,
        first,
        count,
      );
    };
    return { ...work, run };
  }

  /**
   * Converts the gradient with respect to a convolution's output into the gradient with respect to the input of the
   * preceding layer's ReLU, and computes the partial sums for that layer's batch norm. Requires stride 1.
   * @param shortcut another gradient with respect to the preceding activation, to be added
   */
  inputGradient(
    { group, conv }: NormalizedLayer,
    gradient: ThreadTensor,
    target: Tensor,
    shortcut: Tensor | null,
    preceding: NormalizedLayer,
  ): Stage[] {
    const { size, channels } = target;
    if (!conv.winograd) {
      return [
        this.directInputGradient(group, conv, gradient, target, shortcut !== null),
        this.#batchNorm.mask(preceding, target),
      ];
    }
    const { kernels, fixed } = this.#step;
    const { turned } = conv.winograd;
    const { activation, convolved, bn } = preceding;
    const run: Stage['run'] = ({ first, count, tile, continues }, memory) =>
      kernels.winogradInputGradient(
        addressOf(gradient, first, memory),
        turned,
        target.address,
        shortcut?.address ?? 0,
        addressOf(activation, first, memory),
        convolved.address,
        bn.coefficients,
        batchNormSums(fixed, tile, channels),
        continues,
        size,
        channels,
        first,
        count,
        memory.scratch,
      );
    return [{ phase: 'input gradient', group, run }];
  }

  /**
   * Computes the input gradient of a direct convolution.
   * @param adds true to add to the existing values of the target, false to overwrite them
   */
  directInputGradient(group: LayerGroup, plan: ConvPlan, gradient: AnyTensor, target: Tensor, adds: boolean): Stage {
    const { kernels } = this.#step;
    const { stride } = plan.layer;
    const phases = plan.inputGradient.map(({ row, column, taps }) => {
      // With an odd size, there is one odd row less than even rows, and one odd column less.
      const [rows, pixels] = [row, column].map((start) => Math.ceil((target.size - start) / stride));
      return { ...taps, rows, pixels, to: stridesOf(target, target.address, stride, row, column) };
    });
    const { channels } = gradient;
    const run: Stage['run'] = ({ first, count }, memory) => {
      const from = stridesOf(gradient, addressOf(gradient, first, memory));
      for (const { offsets, tapCount, weights, rows, pixels, to } of phases) {
        kernels.convolve(
          ...from,
          channels,
          offsets,
          tapCount,
          weights,
          0,
          adds,
          ...to,
          target.channels,
          rows,
          pixels,
          first,
          count,
        );
      }
    };
    return { phase: 'input gradient', group, run };
  }

  /** Computes the partial sums of a filter gradient. */
  filterGradient(group: LayerGroup, plan: ConvPlan, source: AnyTensor, gradient: AnyTensor): Stage {
    const { kernels } = this.#step;
    const { size, channels } = gradient;
    const sums = this.#filterSums(plan);
    const sumBytes = filterSumBytes(plan);
    const work = { phase: 'filter gradient', group } as const;
    if (plan.winograd) {
      const run: Stage['run'] = ({ first, count, tile, continues }, memory) => {
        const from = addressOf(source, first, memory);
        const gradients = addressOf(gradient, first, memory);
        const to = sums + tile * sumBytes;
        kernels.winogradFilterGradient(
          from,
          gradients,
          to,
          continues,
          size,
          size,
          channels,
          channels,
          first,
          count,
          memory.scratch,
        );
      };
      return { ...work, run };
    }
    const { depth, layer } = plan;
    const { offsets, tapCount } = plan.forward!;
    const run: Stage['run'] = ({ first, count, tile, continues }, memory) => {
      const from = stridesOf(source, addressOf(source, first, memory), layer.stride);
      const gradients = addressOf(gradient, first, memory);
      const to = sums + tile * sumBytes;
      kernels.filterGradient(...from, depth, offsets, tapCount, gradients, channels, size, first, count, to, continues);
    };
    return { ...work, run };
  }

  /** Adds the pass that computes a filter gradient from its partial sums. */
  addFilterGradientEnd(group: LayerGroup, plan: ConvPlan): void {
    const { kernels } = this.#step;
    const { layer, depth, kernelGradient, winograd } = plan;
    const { inputChannels: inputs, outputChannels: outputs } = layer;
    const sums = this.#filterSums(plan);
    const tiles = this.#list.imageTiles;
    const work = { phase: 'filter gradient', group } as const;
    if (winograd) {
      this.#list.add(work, inputs / 4, (tile, { scratch }) =>
        kernels.winogradFilterGradientEnd(sums, tiles, kernelGradient, inputs, inputs, 4 * tile, 4, scratch),
      );
    } else {
      const { tapCount } = plan.forward!;
      this.#list.add(work, 1, () =>
        kernels.filterGradientEnd(sums, tiles, tapCount, depth, inputs, outputs, kernelGradient),
      );
    }
  }

  /**
   * Adds the pass that computes the bias gradient of a convolution that is not followed by a batch norm, from the
   * gradient with respect to its output. Adds nothing if the convolution has no bias.
   */
  addBiasGradient(group: LayerGroup, { biasGradient }: ConvPlan, { address, size, channels }: Tensor): void {
    if (!biasGradient) return;
    const { kernels, imageCount } = this.#step;
    this.#list.add({ phase: 'filter gradient', group }, 1, () =>
      kernels.biasGradient(address, biasGradient, channels, size, 0, imageCount),
    );
  }

  #filterSums({ layer }: ConvPlan): number {
    const { filterSums, projectionSums } = this.#step.fixed;
    return layer.kernelSize === 1 ? projectionSums : filterSums;
  }
}

// Batch norm and ReLU, forward and backward.
import { addressOf, type Tensor, type ThreadTensor } from '../memory/tensor.js';
import type { NormalizedLayer } from './layers.js';
import type { FixedPlan } from '../memory/fixed-plan.js';
import type { PassList, Stage, StepContext } from './pass.js';

/** Returns the address of a tile's partial sums for batch norm: two rows of one value per channel. */
export function batchNormSums({ sums }: FixedPlan, tile: number, channels: number): number {
  return sums + tile * 2 * 4 * channels;
}

export class BatchNormPasses {
  readonly #step: StepContext;
  readonly #list: PassList;

  constructor(step: StepContext, list: PassList) {
    this.#step = step;
    this.#list = list;
  }

  /**
   * Adds the pass that computes a batch norm's coefficients: for training, from the partial sums of the latest pass
   * over images; for evaluation, from the moving statistics.
   */
  addStatistics({ group, conv, bn, convolved }: NormalizedLayer): void {
    const { kernels, fixed, imageCount, mode } = this.#step;
    const { channels, gamma, beta, coefficients, batchStatistics, movingStatistics } = bn;
    const { bnEpsilon } = fixed.layout.spec;
    const tiles = this.#list.imageTiles;
    const elements = imageCount * convolved.size ** 2;
    const parameters = [channels, channels, gamma, beta, conv.bias, bnEpsilon, coefficients] as const;
    const run =
      mode === 'train'
        ? () => kernels.batchStatistics(fixed.sums, tiles, elements, ...parameters, batchStatistics)
        : () => kernels.movingStatistics(...parameters, movingStatistics);
    this.#list.add({ phase: 'batch norm', group }, 1, run);
  }

  normalize({ group, bn, convolved, shortcut, activation }: NormalizedLayer): Stage {
    const { kernels } = this.#step;
    const { size, channels } = activation;
    const around = shortcut?.address ?? 0;
    const run: Stage['run'] = ({ first, count }, memory) => {
      const to = addressOf(activation, first, memory);
      kernels.normalize(convolved.address, bn.coefficients, around, to, size, channels, first, count);
    };
    return { phase: 'batch norm', group, run };
  }

  /**
   * Converts the gradient with respect to the activation into the gradient with respect to the input of the ReLU, and
   * computes the partial sums for the batch norm.
   */
  mask({ group, bn, convolved, activation }: NormalizedLayer, gradient: Tensor): Stage {
    const { kernels, fixed } = this.#step;
    const { address, size, channels } = gradient;
    const run: Stage['run'] = ({ first, count, tile, continues }, memory) => {
      const mask = addressOf(activation, first, memory);
      const sums = batchNormSums(fixed, tile, channels);
      const { coefficients } = bn;
      kernels.maskAndSum(address, mask, convolved.address, coefficients, sums, continues, size, channels, first, count);
    };
    return { phase: 'batch norm gradient', group, run };
  }

  /**
   * Adds the pass that computes the gradients of gamma and beta and the backward coefficients from the partial sums of
   * the latest pass over images.
   */
  addGradientCoefficients({ group, bn, convolved }: NormalizedLayer): void {
    const { kernels, fixed, imageCount } = this.#step;
    const { channels, coefficients, gammaGradient, betaGradient } = bn;
    const { sums } = fixed;
    const tiles = this.#list.imageTiles;
    const elements = imageCount * convolved.size ** 2;
    this.#list.add({ phase: 'batch norm gradient', group }, 1, () =>
      kernels.gradientCoefficients(
        sums,
        tiles,
        elements,
        channels,
        channels,
        coefficients,
        gammaGradient,
        betaGradient,
      ),
    );
  }

  /** Converts the gradient with respect to a batch norm's output into the gradient with respect to its input. */
  normalizeGradient({ group, bn, convolved }: NormalizedLayer, gradient: Tensor, target: ThreadTensor): Stage {
    const { kernels } = this.#step;
    const { address, size, channels } = gradient;
    const run: Stage['run'] = ({ first, count }, memory) => {
      const to = addressOf(target, first, memory);
      kernels.normalizeGradient(address, convolved.address, bn.coefficients, to, size, channels, first, count);
    };
    return { phase: 'batch norm gradient', group, run };
  }
}

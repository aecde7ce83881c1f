// The outer optimizer of a run with local steps (DiLoCo, Douillard et al. 2023, arXiv 2311.08105): SGD with Nesterov
// momentum, whose gradient is the mean difference between the weights at the start of a round and each slice's weights at
// its end.
import type { ModelLayout } from '../../shared/network/layout.js';
import { MomentumSgd } from './momentum-sgd.js';
import type { Optimizer, Update } from './optimizer.js';

export interface OuterSgdOptions {
  outerLearningRate: number;
  outerMomentum: number;
  /** Number of slices, each of which contributes one difference. */
  slices: number;
}

/**
 * With an outer learning rate of 1 and no outer momentum, the new weights are the mean of the slices' weights.
 *
 * The slices' own steps apply weight decay, the learning-rate schedule and the learning-rate factors of arrays; this
 * optimizer treats all arrays alike. Frozen arrays have no difference.
 */
export class OuterSgd implements Optimizer {
  readonly state: { readonly 'outer-velocity': Float32Array };
  readonly #sgd: MomentumSgd;
  readonly #options: OuterSgdOptions;

  /** @param weights initial weights; copied */
  constructor({ weights: arrays, weightsSize }: ModelLayout, options: OuterSgdOptions, weights: Float32Array) {
    const alike = arrays.map((array) => ({ ...array, weightDecay: false, learningRateFactor: 1 }));
    const sgdOptions = { momentum: options.outerMomentum, nesterov: true, weightDecay: 0 };
    this.#sgd = new MomentumSgd({ weights: alike, weightsSize }, sgdOptions, weights);
    this.state = { 'outer-velocity': this.#sgd.state.velocity };
    this.#options = options;
  }

  get weights(): Float32Array {
    return this.#sgd.weights;
  }

  get gradient(): Float32Array {
    return this.#sgd.gradient;
  }

  /** @param differenceSum sum of the slices' differences: weights at the start of the round minus those at its end */
  step(differenceSum: Float32Array): Update {
    return this.#sgd.step(differenceSum, this.#options.slices, this.#options.outerLearningRate);
  }
}

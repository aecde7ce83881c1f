// The optimizer: SGD with momentum in Keras's form, every operation rounded to float32 as Keras rounds it.
import type { ModelLayout } from '../shared/model/layout.js';

export interface MomentumSgdOptions {
  /** How much of the velocity stays at each step, 0 to 1. */
  momentum: number;
  /** Looks ahead by one momentum step (Keras's nesterov). */
  nesterov: boolean;
  /** Times the weight, added to the gradient of kernels alone, as in He et al. 2016: biases, gammas and betas do not decay. */
  weightDecay: number;
}

/**
 * velocity = momentum × velocity − rate × gradient; weight += velocity, or with nesterov
 * weight += momentum × velocity − rate × gradient. Source: keras/src/optimizers/sgd.py.
 */
export class MomentumSgd {
  /** One per weight, in layout order. Part of a checkpoint. */
  readonly velocity: Float32Array;
  readonly #options: MomentumSgdOptions;
  readonly #kernels: readonly { offset: number; size: number }[];

  constructor(layout: ModelLayout, options: MomentumSgdOptions) {
    this.velocity = new Float32Array(layout.trainableSize);
    this.#options = options;
    this.#kernels = layout.trainable.filter((array) => array.name.endsWith('/kernel'));
  }

  /**
   * One update, in place.
   * @param weights the trainable vector
   * @param gradient the mean gradient; weight decay is added to it in place
   */
  step(weights: Float32Array, gradient: Float32Array, learningRate: number): void {
    const { weightDecay, nesterov } = this.#options;
    const { velocity } = this;
    if (weightDecay > 0) this.#addDecay(weights, gradient, Math.fround(weightDecay));
    const momentum = Math.fround(this.#options.momentum);
    const rate = Math.fround(learningRate);
    for (let i = 0; i < weights.length; i++) {
      const scaled = Math.fround(rate * gradient[i]);
      const moved = Math.fround(Math.fround(momentum * velocity[i]) - scaled);
      velocity[i] = moved;
      weights[i] += nesterov ? Math.fround(Math.fround(momentum * moved) - scaled) : moved;
    }
  }

  #addDecay(weights: Float32Array, gradient: Float32Array, decay: number): void {
    for (const kernel of this.#kernels) {
      for (let i = kernel.offset; i < kernel.offset + kernel.size; i++) {
        gradient[i] += Math.fround(decay * weights[i]);
      }
    }
  }
}

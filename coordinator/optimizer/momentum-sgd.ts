// SGD with momentum in the form used by Keras: one update per step, with the mean gradient of the global batch.
import type { ModelLayout, WeightArray } from '../../shared/network/layout.js';
import { MomentumUpdate, type MomentumSgdOptions } from '../../shared/optimizer/momentum-update.js';
import type { Optimizer, Update } from './optimizer.js';
import { updateModule } from './update-module.js';

export class MomentumSgd implements Optimizer {
  readonly state: { readonly velocity: Float32Array };
  readonly #update: MomentumUpdate;
  readonly #frozen: readonly WeightArray[];

  /** @param weights initial weights; copied */
  constructor(
    layout: Pick<ModelLayout, 'weights' | 'weightsSize'>,
    options: MomentumSgdOptions,
    weights: Float32Array,
  ) {
    this.#update = new MomentumUpdate(layout, options, updateModule());
    this.#update.weights.set(weights);
    this.state = { velocity: this.#update.velocity };
    this.#frozen = layout.weights.filter(({ trainable }) => !trainable);
  }

  get weights(): Float32Array {
    return this.#update.weights;
  }

  get gradient(): Float32Array {
    return this.#update.gradient;
  }

  step(gradientSum: Float32Array, sampleCount: number, learningRate: number): Update {
    const { gradient } = this.#update;
    if (gradientSum.length !== gradient.length) {
      throw new RangeError(
        `the gradient has ${gradientSum.length} values, but the model has ${gradient.length} weights`,
      );
    }
    gradient.set(gradientSum);
    for (const { offset, size } of this.#frozen) gradient.fill(0, offset, offset + size);
    if (!this.#update.isGradientFinite) return 'sum-not-finite';
    return this.#update.apply(sampleCount, learningRate) ? 'made' : 'weights-not-finite';
  }
}

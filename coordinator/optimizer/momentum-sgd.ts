// The optimizer: SGD with momentum in Keras's form, every operation rounded to float32 as Keras rounds it.
import type { ArrayLayout, ModelLayout } from '../../shared/network/layout.js';
import { updateKernelsOn, type UpdateKernels } from './update-kernels.js';

export interface MomentumSgdOptions {
  /** How much of the velocity stays at each step, 0 to 1. */
  momentum: number;
  /** Looks ahead by one momentum step (Keras's nesterov). */
  nesterov: boolean;
  /** Times the weight, added to the gradient of kernels alone, as in He et al. 2016: biases, gammas and betas do not decay. */
  weightDecay: number;
}

/** What an update came to. Where the sum holds NaN or an infinity nothing has changed. */
export type Update = 'made' | 'sum-not-finite' | 'weights-not-finite';

const floatBytes = 4;
const pageBytes = 65_536;

/**
 * velocity = momentum × velocity − rate × gradient; weight += velocity, or with nesterov
 * weight += momentum × velocity − rate × gradient. Source: keras/src/optimizers/sgd.py.
 *
 * All it works on lies in the kernels' memory: every step waits for the update, which is an eighth there of what it is in
 * JavaScript.
 */
export class MomentumSgd {
  /** The trainable vector in layout order, updated in place. */
  readonly weights: Float32Array;
  /** One per weight. Part of a checkpoint. */
  readonly velocity: Float32Array;
  /** The latest update's mean gradient with weight decay; one per weight. */
  readonly gradient: Float32Array;
  readonly #options: MomentumSgdOptions;
  readonly #kernels: UpdateKernels;
  readonly #stretches: readonly Stretch[];

  /** @param weights to begin with, copied */
  constructor(layout: ModelLayout, options: MomentumSgdOptions, weights: Float32Array) {
    const size = layout.trainableSize;
    // The first page is the compiler's.
    const memory = new WebAssembly.Memory({ initial: 1 + Math.ceil((3 * size * floatBytes) / pageBytes) });
    const vector = (index: number) => new Float32Array(memory.buffer, pageBytes + index * size * floatBytes, size);
    [this.weights, this.velocity, this.gradient] = [vector(0), vector(1), vector(2)];
    this.weights.set(weights);
    this.#options = options;
    this.#kernels = updateKernelsOn(memory);
    this.#stretches = stretchesOf(layout.trainable);
  }

  /**
   * One update.
   * @param gradientSum one per weight, over all images of the step; left as it is
   * @param sampleCount these images
   */
  step(gradientSum: Float32Array, sampleCount: number, learningRate: number): Update {
    const { momentum, nesterov, weightDecay } = this.#options;
    const { weights, velocity, gradient } = this;
    if (gradientSum.length !== gradient.length) {
      throw new RangeError(`a gradient of ${gradientSum.length} values for ${gradient.length} weights`);
    }
    gradient.set(gradientSum);
    if (this.#kernels.areFinite(gradient.byteOffset, gradient.length) === 0) return 'sum-not-finite';
    let isFinite = true;
    for (const { first, count, decays } of this.#stretches) {
      const address = ({ byteOffset }: Float32Array) => byteOffset + first * floatBytes;
      const made = this.#kernels.update(
        address(weights),
        address(velocity),
        address(gradient),
        count,
        sampleCount,
        decays ? weightDecay : 0,
        momentum,
        learningRate,
        nesterov,
      );
      isFinite &&= made === 1;
    }
    return isFinite ? 'made' : 'weights-not-finite';
  }
}

/** Weights side by side that decay, or do not. */
interface Stretch {
  first: number;
  count: number;
  decays: boolean;
}

function stretchesOf(arrays: readonly ArrayLayout[]): Stretch[] {
  const stretches: Stretch[] = [];
  for (const { name, offset, size } of arrays) {
    const decays = name.endsWith('/kernel');
    const last = stretches.at(-1);
    if (last?.decays === decays && last.first + last.count === offset) last.count += size;
    else stretches.push({ first: offset, count: size, decays });
  }
  return stretches;
}

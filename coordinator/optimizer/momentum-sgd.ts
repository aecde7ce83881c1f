// SGD with momentum in the form used by Keras. Like Keras, it rounds every operation to float32.
import type { ModelLayout, WeightArray } from '../../shared/network/layout.js';
import type { Optimizer, Update } from './optimizer.js';
import { updateKernelsOn, type UpdateKernels } from './update-kernels.js';

export interface MomentumSgdOptions {
  /** Fraction of the velocity that is kept in each step, 0 to 1. */
  momentum: number;
  /** Whether to use Nesterov momentum, in the form used by Keras. */
  nesterov: boolean;
  /**
   * L2 penalty: this multiple of the weight is added to the gradient of each array that has weight decay: by default,
   * each convolution and dense kernel (He et al. 2016). An array with a learning-rate factor adds the same multiple
   * divided by the factor, so that all weights decay at the same rate.
   */
  weightDecay: number;
}

const floatBytes = 4;
const pageBytes = 65_536;

/**
 * SGD with momentum, as in keras/src/optimizers/sgd.py:
 * - velocity = (momentum × velocity) − (rate × gradient)
 * - weight += velocity; with nesterov, weight += (momentum × velocity) − (rate × gradient)
 *
 * The rate of an array is the learning rate times the array's factor. Frozen arrays and their velocities do not change.
 *
 * All vectors are in the memory of WebAssembly kernels, which take an eighth of the time that JavaScript takes. This
 * matters because workers wait for the update in every step.
 */
export class MomentumSgd implements Optimizer {
  readonly weights: Float32Array;
  readonly gradient: Float32Array;
  readonly state: { readonly velocity: Float32Array };
  readonly #options: MomentumSgdOptions;
  readonly #kernels: UpdateKernels;
  readonly #spans: readonly Span[];
  readonly #frozen: readonly WeightArray[];

  /** @param weights initial weights; copied */
  constructor(layout: ModelLayout, options: MomentumSgdOptions, weights: Float32Array) {
    const size = layout.weightsSize;
    // The first page of the memory is reserved for data of the compiled kernels.
    const memory = new WebAssembly.Memory({ initial: 1 + Math.ceil((3 * size * floatBytes) / pageBytes) });
    const vector = (index: number) => new Float32Array(memory.buffer, pageBytes + index * size * floatBytes, size);
    [this.weights, this.gradient] = [vector(0), vector(2)];
    this.state = { velocity: vector(1) };
    this.weights.set(weights);
    this.#options = options;
    this.#kernels = updateKernelsOn(memory);
    this.#spans = spansOf(layout.weights);
    this.#frozen = layout.weights.filter(({ trainable }) => !trainable);
  }

  step(gradientSum: Float32Array, sampleCount: number, learningRate: number): Update {
    const { momentum, nesterov, weightDecay } = this.#options;
    const { weights, gradient } = this;
    const { velocity } = this.state;
    if (gradientSum.length !== gradient.length) {
      throw new RangeError(
        `the gradient has ${gradientSum.length} values, but the model has ${gradient.length} weights`,
      );
    }
    gradient.set(gradientSum);
    for (const { offset, size } of this.#frozen) gradient.fill(0, offset, offset + size);
    if (this.#kernels.areFinite(gradient.byteOffset, gradient.length) === 0) return 'sum-not-finite';
    let isFinite = true;
    for (const { first, count, decays, factor } of this.#spans) {
      const address = ({ byteOffset }: Float32Array) => byteOffset + first * floatBytes;
      const made = this.#kernels.update(
        address(weights),
        address(velocity),
        address(gradient),
        count,
        sampleCount,
        decays ? weightDecay / factor : 0,
        momentum,
        learningRate * factor,
        nesterov,
      );
      isFinite &&= made === 1;
    }
    return isFinite ? 'made' : 'weights-not-finite';
  }
}

/** A range of adjacent trainable weights with the same settings. */
interface Span {
  first: number;
  count: number;
  decays: boolean;
  /** Factor of the learning rate. */
  factor: number;
}

function spansOf(arrays: readonly WeightArray[]): Span[] {
  const spans: Span[] = [];
  for (const { offset, size, trainable, weightDecay, learningRateFactor: factor } of arrays) {
    if (!trainable) continue;
    // A factor of 0 has no decay either.
    const decays = weightDecay && factor > 0;
    const last = spans.at(-1);
    const isAdjacent = last !== undefined && last.first + last.count === offset;
    if (isAdjacent && last.decays === decays && last.factor === factor) last.count += size;
    else spans.push({ first: offset, count: size, decays, factor });
  }
  return spans;
}

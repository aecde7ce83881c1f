// SGD with momentum in the form used by Keras. Like Keras, it rounds every operation to float32.
import type { ArrayLayout, ModelLayout } from '../../shared/network/layout.js';
import type { Optimizer, Update } from './optimizer.js';
import { updateKernelsOn, type UpdateKernels } from './update-kernels.js';

export interface MomentumSgdOptions {
  /** Fraction of the velocity that is kept in each step, 0 to 1. */
  momentum: number;
  /** Whether to use Nesterov momentum, in the form used by Keras. */
  nesterov: boolean;
  /**
   * L2 penalty: this multiple of the weight is added to the gradient of each convolution and dense kernel (He et al.
   * 2016). Other arrays have no weight decay.
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
    if (this.#kernels.areFinite(gradient.byteOffset, gradient.length) === 0) return 'sum-not-finite';
    let isFinite = true;
    for (const { first, count, decays } of this.#spans) {
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

/** A range of adjacent weights, either all with weight decay or all without. */
interface Span {
  first: number;
  count: number;
  decays: boolean;
}

function spansOf(arrays: readonly ArrayLayout[]): Span[] {
  const spans: Span[] = [];
  for (const { name, offset, size } of arrays) {
    const decays = name.endsWith('/kernel');
    const last = spans.at(-1);
    if (last?.decays === decays && last.first + last.count === offset) last.count += size;
    else spans.push({ first: offset, count: size, decays });
  }
  return spans;
}

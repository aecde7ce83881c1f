// One update of SGD with momentum in the form used by Keras. Like Keras, it rounds every operation to float32. The
// coordinator makes one per step, and in a run with local steps, workers make one per local step.
import type { ModelLayout, WeightArray } from '../network/layout.js';

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

/** The compiled kernels; assembly/update.ts documents each function. */
export interface UpdateKernels {
  /** @returns 1 if all values are finite, otherwise 0 */
  areFinite(address: number, count: number): number;
  /** @returns 1 if every new weight is finite, otherwise 0 */
  update(
    weights: number,
    velocity: number,
    gradient: number,
    count: number,
    samples: number,
    decay: number,
    momentum: number,
    rate: number,
    nesterov: boolean,
  ): number;
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
export class MomentumUpdate {
  readonly weights: Float32Array;
  readonly velocity: Float32Array;
  /** Sum of the gradients before an update; their mean, including weight decay, after it. */
  readonly gradient: Float32Array;
  readonly #options: MomentumSgdOptions;
  readonly #kernels: UpdateKernels;
  readonly #spans: readonly Span[];

  /** @param module the compiled kernels, update.wasm */
  constructor(
    { weights, weightsSize }: Pick<ModelLayout, 'weights' | 'weightsSize'>,
    options: MomentumSgdOptions,
    module: WebAssembly.Module,
  ) {
    // The first page of the memory is reserved for data of the compiled kernels.
    const memory = new WebAssembly.Memory({ initial: 1 + Math.ceil((3 * weightsSize * floatBytes) / pageBytes) });
    const vector = (index: number) =>
      new Float32Array(memory.buffer, pageBytes + index * weightsSize * floatBytes, weightsSize);
    [this.weights, this.velocity, this.gradient] = [vector(0), vector(1), vector(2)];
    this.#options = options;
    this.#kernels = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as UpdateKernels;
    this.#spans = spansOf(weights);
  }

  /** Returns whether every value of the gradient is finite. */
  get isGradientFinite(): boolean {
    return this.#kernels.areFinite(this.gradient.byteOffset, this.gradient.length) === 1;
  }

  /**
   * Updates the gradient, the velocity and the weights in place.
   * @param sampleCount number of gradients in the sum
   * @returns whether every new weight is finite
   */
  apply(sampleCount: number, learningRate: number): boolean {
    const { momentum, nesterov, weightDecay } = this.#options;
    let isFinite = true;
    for (const { first, count, decays, factor } of this.#spans) {
      const address = ({ byteOffset }: Float32Array) => byteOffset + first * floatBytes;
      const made = this.#kernels.update(
        address(this.weights),
        address(this.velocity),
        address(this.gradient),
        count,
        sampleCount,
        decays ? weightDecay / factor : 0,
        momentum,
        learningRate * factor,
        nesterov,
      );
      isFinite &&= made === 1;
    }
    return isFinite;
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

// Look-ahead (Zhang et al. 2019, "Lookahead optimizer: k steps forward, 1 step back") around another optimizer, with the
// growing share of Jordan 2024 (arXiv 2404.00498).
import type { WeightArray } from '../../shared/network/layout.js';
import type { Optimizer, RunPosition, Update } from './optimizer.js';

/** Factor by which the average's share shrinks with each step between two look-aheads. */
const shareOfStep = 0.95;

/**
 * Every `every` steps, moves a running average of the weights toward the weights, average = (share × average) + ((1 −
 * share) × weights), and continues from the average. The share rises from 0 at the start of the run to 0.95^every at its
 * end. After the last step, the weights are the average. Every operation is rounded to float32.
 */
export class LookAhead implements Optimizer {
  readonly state: Readonly<Record<string, Float32Array>>;
  readonly #inner: Optimizer;
  readonly #every: number;
  readonly #highestShare: number;
  readonly #average: Float32Array;
  readonly #trainable: readonly WeightArray[];

  constructor(inner: Optimizer, every: number, arrays: readonly WeightArray[]) {
    this.#inner = inner;
    this.#every = every;
    // A product instead of a power, because Math.pow may round differently in another version of V8.
    this.#highestShare = Array.from({ length: every }).reduce<number>((share) => share * shareOfStep, 1);
    this.#average = inner.weights.slice();
    this.#trainable = arrays.filter(({ trainable }) => trainable);
    this.state = { ...inner.state, average: this.#average };
  }

  get weights(): Float32Array {
    return this.#inner.weights;
  }

  get gradient(): Float32Array {
    return this.#inner.gradient;
  }

  step(gradientSum: Float32Array, sampleCount: number, learningRate: number, position: RunPosition): Update {
    const update = this.#inner.step(gradientSum, sampleCount, learningRate, position);
    if (update !== 'made') return update;
    const { step, totalSteps } = position;
    const progress = step / totalSteps;
    if (step % this.#every === 0) this.#lookAhead(this.#highestShare * progress * progress * progress);
    if (step === totalSteps) this.weights.set(this.#average);
    return 'made';
  }

  #lookAhead(share: number): void {
    const average = this.#average;
    const { weights } = this;
    const [keep, take] = [Math.fround(share), Math.fround(1 - share)];
    // Rounding would change frozen arrays too.
    for (const { offset, size } of this.#trainable) {
      for (let i = offset; i < offset + size; i++) {
        average[i] = Math.fround(keep * average[i]) + Math.fround(take * weights[i]);
      }
    }
    weights.set(average);
  }
}

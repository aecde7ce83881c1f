// The weights that workers have in a run with int8 encoding. They follow the coordinator's own weights by differences
// rounded to 8 bits. What rounding leaves out stays in the next difference, so no part of an update is lost.
import { maxInt8 } from '../../shared/encoding/encodings.js';
import { addScaled } from '../../shared/encoding/scaled-values.js';
import type { ModelLayout } from '../../shared/network/layout.js';
import { gradientScalesAfter } from './gradient-scales.js';

/** Adding and subtracting 1.5 × 2^52 rounds a float64 to a whole number, several times as fast as Math.round. */
const toNearest = 1.5 * 2 ** 52;
const smallestFloat32 = 2 ** -149;

/** What was last added to the published weights. */
export interface WeightsDifference {
  /** Step of the weights before. */
  fromStep: number;
  /** One value per array. */
  scales: Float32Array;
  /** Multiples of the scales, one per weight. */
  integers: Int8Array;
}

/** The part of the state of a run with int8 encoding that float32 does not have; saved in checkpoints. */
export interface PublishedState {
  readonly weights: Float32Array;
  /** Scales of the next step's gradients; undefined before the first step, whose gradients travel in float32. */
  readonly gradientScales: Float32Array | undefined;
}

export class PublishedWeights implements PublishedState {
  readonly weights: Float32Array;
  readonly #layout: Pick<ModelLayout, 'weights'>;
  #gradientScales: Float32Array | undefined;
  #difference: WeightsDifference | undefined;

  /** @param start initial state; its weights are copied */
  constructor(layout: Pick<ModelLayout, 'weights'>, start: PublishedState) {
    this.#layout = layout;
    this.weights = start.weights.slice();
    this.#gradientScales = start.gradientScales;
  }

  get gradientScales(): Float32Array | undefined {
    return this.#gradientScales;
  }

  /**
   * What the last follow() added; undefined before the first. Overwritten by the next one.
   */
  get difference(): Readonly<WeightsDifference> | undefined {
    return this.#difference;
  }

  /**
   * Moves the published weights toward the coordinator's own after an update.
   * @param step step of the weights before the update
   * @param maxima largest absolute value of each array over the gradients of the update
   * @param isShort whether the update ends a round with fewer steps than most: see gradientScalesAfter
   */
  follow(own: Float32Array, step: number, maxima: Float32Array, isShort = false): void {
    const { weights: arrays } = this.#layout;
    this.#gradientScales = gradientScalesAfter(maxima, this.#gradientScales, isShort);
    this.#difference ??= {
      fromStep: step,
      scales: new Float32Array(arrays.length),
      integers: new Int8Array(this.weights.length),
    };
    this.#difference.fromStep = step;
    const { scales, integers } = this.#difference;
    for (const [index, { offset, size }] of arrays.entries()) {
      scales[index] = this.#roundDifference(own, offset, offset + size, integers);
    }
    addScaled(this.weights, integers, scales, arrays);
  }

  /** Rounds the difference of one array to 8 bits. @returns its scale */
  #roundDifference(own: Float32Array, first: number, end: number, integers: Int8Array): number {
    const { weights } = this;
    let largest = 0;
    for (let i = first; i < end; i++) {
      const size = Math.abs(own[i] - weights[i]);
      if (size > largest) largest = size;
    }
    if (largest === 0) {
      integers.fill(0, first, end);
      return 0;
    }
    const scale = scaleFor(largest);
    const inverse = 1 / scale;
    for (let i = first; i < end; i++) integers[i] = (own[i] - weights[i]) * inverse + toNearest - toNearest;
    return scale;
  }
}

/** Returns a scale of which 127 are at least `largest`, or just below it in the last digits of float32. */
function scaleFor(largest: number): number {
  const scale = Math.fround(largest / maxInt8);
  // Near 0, float32 is so coarse that the quotient may have been rounded down by a lot.
  return scale * (maxInt8 + 0.25) < largest ? scale + smallestFloat32 : scale;
}

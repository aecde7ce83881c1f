// The seam between the training loop and the optimizer: a pure update of flat vectors with named state. Implementations
// import this file, never the reverse.

/** The result of an update. If the gradient sum is not finite, nothing has changed. */
export type Update = 'made' | 'sum-not-finite' | 'weights-not-finite';

export interface Optimizer {
  /** The trainable vector, in layout order; updated in place. */
  readonly weights: Float32Array;
  /** The mean gradient of the last update, weight decay included; one value per weight. */
  readonly gradient: Float32Array;
  /** State by name, one value per weight; updated in place. Part of checkpoints. */
  readonly state: Readonly<Record<string, Float32Array>>;
  /**
   * Makes one update.
   * @param gradientSum one value per weight, summed over all images of the step; not modified
   * @param sampleCount number of these images
   */
  step(gradientSum: Float32Array, sampleCount: number, learningRate: number): Update;
}

// The seam between the training loop and the optimizer: a pure update of flat vectors with named state. Implementations
// import this file, never the reverse.

/** Result of an update. If the gradient sum is not finite, weights and state are unchanged. */
export type Update = 'made' | 'sum-not-finite' | 'weights-not-finite';

export interface Optimizer {
  /** Trainable weights as a flat vector, in layout order; updated in place. */
  readonly weights: Float32Array;
  /** Mean gradient of the last update, including weight decay; one value per weight. */
  readonly gradient: Float32Array;
  /** Optimizer state by name, one value per weight; updated in place and saved in checkpoints. */
  readonly state: Readonly<Record<string, Float32Array>>;
  /**
   * Makes one update.
   * @param gradientSum gradient summed over all images of the step, one value per weight; not modified
   * @param sampleCount number of images in the sum
   */
  step(gradientSum: Float32Array, sampleCount: number, learningRate: number): Update;
}

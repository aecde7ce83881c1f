// The seam between the training loop and the optimizer, which updates flat vectors in place and has named state.
// Implementations import this file, never the reverse.

/**
 * Result of an update. `sum-not-finite`: the gradient sum contains NaN or infinity, and weights and state are
 * unchanged. `weights-not-finite`: the update has been applied and produced NaN or infinity.
 */
export type Update = 'made' | 'sum-not-finite' | 'weights-not-finite';

/** Position of an update in the run. */
export interface RunPosition {
  /** Number of updates made, including this one. */
  step: number;
  totalSteps: number;
}

export interface Optimizer {
  /** Weights as a flat vector, in layout order, trainable and frozen; updated in place. */
  readonly weights: Float32Array;
  /**
   * Mean gradient of the last update, including weight decay; one value per weight; 0 for
   * frozen ones.
   */
  readonly gradient: Float32Array;
  /** Optimizer state by name, one value per weight; updated in place and saved in checkpoints. */
  readonly state: Readonly<Record<string, Float32Array>>;
  /**
   * Makes one update.
   * @param gradientSum gradient summed over all images of the step, one value per weight; not modified
   * @param sampleCount number of images in the sum
   */
  step(gradientSum: Float32Array, sampleCount: number, learningRate: number, position: RunPosition): Update;
}

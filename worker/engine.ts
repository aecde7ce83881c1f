// The interface between a worker and an engine: weights and a slice's images in; loss, gradient and batch statistics
// out. Engines import this file, never the reverse.
import type { ImageBatch, Preprocessing } from '../shared/dataset/image-batch.js';
import type { ModelLayout } from '../shared/network/layout.js';
import type { EngineIdentity } from '../shared/protocol/engine-identity.js';

/** Result of processing a slice or an evaluation shard. */
export interface BatchResult {
  /** Number of images. */
  sampleCount: number;
  /** Softmax cross-entropy summed (not averaged) over the images. */
  lossSum: number;
  /** Number of images classified correctly: the logit of the label is the largest. */
  correctCount: number;
  /** Milliseconds spent on cropping, flipping and preprocessing. */
  augmentMs: number;
  /** Milliseconds spent on everything except augmentation and preprocessing. */
  computeMs: number;
}

export interface SliceResult extends BatchResult {
  /**
   * Gradient of the loss with respect to the trainable weights, summed over the images, in layout order. Valid until
   * the next call to the model.
   */
  gradientSum: Float32Array;
  /**
   * Batch-norm statistics in layout order: for each batch norm the mean, then the biased variance. Valid until the next
   * call to the model.
   */
  batchStatistics: Float32Array;
}

export interface EvaluationResult extends BatchResult {
  /** Logits, [images, classes]. Owned by the caller. */
  logits: Float32Array;
}

/** A model on a device. The caller makes one call at a time. */
export interface EngineModel {
  /**
   * Sets the weights for subsequent calls. Copies both arrays, so the caller may reuse them immediately.
   * @param weights the trainable vector, layout.weightsSize elements
   * @param movingStatistics the statistics vector, layout.statisticsSize elements; used by evaluate only
   */
  setWeights(weights: Float32Array, movingStatistics: Float32Array): void;
  /**
   * Prepares for a call of computeSlice with the same batch object: does the part of the work that does not need the
   * weights. That call may never come.
   */
  prepare?(batch: ImageBatch): void;
  /**
   * Starts to compute a slice with the current weights, while the results of the one before are read. A call of
   * computeSlice with the same batch object returns its results. May be called before an earlier computeSlice has
   * returned.
   */
  enqueue?(batch: ImageBatch): void;
  /** Runs the forward and backward pass over a slice of at least one image. Batch norm uses the slice's statistics. */
  computeSlice(batch: ImageBatch): Promise<SliceResult>;
  /** Runs the forward pass over at least one image, with the moving statistics and without label smoothing. */
  evaluate(batch: ImageBatch): Promise<EvaluationResult>;
  /** Releases the model's memory on the device. The model must not be used afterward. */
  dispose(): void;
}

export interface Engine {
  readonly identity: EngineIdentity;
  /**
   * Creates a model with this layout on the device. Throws `bad-config` if this engine cannot run it.
   * @param labelSmoothing fraction of each label that computeSlice spreads evenly over all classes; 0 by default
   */
  createModel(layout: ModelLayout, preprocessing: Preprocessing, labelSmoothing?: number): Promise<EngineModel>;
  /** Stops the engine's threads. */
  close(): Promise<void>;
}

/** Supported precisions. Weights, gradients, statistics and the loss are always float32. */
export const precisions = ['float32', 'bfloat16', 'float16'] as const;
export type Precision = (typeof precisions)[number];

/** Settings for the computation. An engine throws `bad-option` for settings that it does not support. */
export interface EngineSettings {
  /**
   * Data type of the convolutions and the operations between them; `float32` by default. The other types require the
   * tensorflow engine.
   */
  precision?: Precision | undefined;
  /** `graph` (the default) calls TensorFlow once per slice, `eager` once per operation. */
  tensorFlowMode?: 'graph' | 'eager' | undefined;
  /** Compile TensorFlow graphs with XLA on GPUs. */
  xla?: boolean | undefined;
}

export interface EngineOptions extends EngineSettings {
  /** Number of compute threads per worker. */
  threads: number;
}

// The interface between a worker and an engine: weights and a slice's images in; loss, gradient and batch statistics
// out. Engines import this file, never the reverse.
import type { ImageBatch, Preprocessing } from '../shared/dataset/image-batch.js';
import type { ModelLayout } from '../shared/network/layout.js';
import type { EngineIdentity } from '../shared/protocol/engine-identity.js';

/** Result of a slice or an evaluation shard. */
export interface BatchResult {
  /** Number of images. */
  sampleCount: number;
  /** Sum, not mean, of the images' softmax cross-entropy. */
  lossSum: number;
  /** Number of images whose largest logit is that of their label. */
  correctCount: number;
  /** Milliseconds spent on cropping, flipping and preprocessing. */
  augmentMs: number;
  /** Milliseconds spent on everything else. */
  computeMs: number;
}

export interface SliceResult extends BatchResult {
  /** Sum of the images' gradients of the trainable weights, in layout order. Valid until the model's next call. */
  gradientSum: Float32Array;
  /** Mean, then biased variance of each batch norm, in layout order. Valid until the model's next call. */
  batchStatistics: Float32Array;
}

export interface EvaluationResult extends BatchResult {
  /** [images, classes]. Owned by the caller. */
  logits: Float32Array;
}

/** A model on a device. Calls do not overlap. */
export interface EngineModel {
  /**
   * Sets the weights for the calls that follow. Copies both arrays, so that the caller may reuse them immediately.
   * @param weights the trainable vector, layout.trainableSize elements
   * @param movingStatistics the statistics vector, layout.statisticsSize elements; used by evaluate only
   */
  setWeights(weights: Float32Array, movingStatistics: Float32Array): void;
  /**
   * Does in advance what computeSlice of this batch object can do without the weights. The batch may never be computed.
   */
  prepare?(batch: ImageBatch): void;
  /** Forward and backward pass over one slice of at least one image, with the slice's own batch-norm statistics. */
  computeSlice(batch: ImageBatch): Promise<SliceResult>;
  /** Forward pass over at least one image, with the moving statistics and without label smoothing. */
  evaluate(batch: ImageBatch): Promise<EvaluationResult>;
  /** Releases the device's memory. The model is not called again. */
  dispose(): void;
}

export interface Engine {
  readonly identity: EngineIdentity;
  /**
   * Creates a model of this layout on the device. Throws `bad-config` if this engine cannot run it.
   * @param labelSmoothing share of a label that computeSlice spreads over all classes; 0 by default
   */
  createModel(layout: ModelLayout, preprocessing: Preprocessing, labelSmoothing?: number): Promise<EngineModel>;
  /** Stops the engine's threads. */
  close(): Promise<void>;
}

/** Weights, gradients, statistics and the loss are always float32. */
export const precisions = ['float32', 'bfloat16', 'float16'] as const;
export type Precision = (typeof precisions)[number];

/** How to compute. An engine throws `bad-option` for settings that it does not support. */
export interface EngineSettings {
  /** Type of the convolutions and the operations between them; `float32` by default. Others need tensorflow. */
  precision?: Precision | undefined;
  /** `graph` (default) calls TensorFlow once per slice, `eager` once per operation. */
  tensorFlowMode?: 'graph' | 'eager' | undefined;
  /** Compile TensorFlow graphs with XLA, on GPUs. */
  xla?: boolean | undefined;
}

export interface EngineOptions extends EngineSettings {
  /** Compute threads per worker. */
  threads: number;
}

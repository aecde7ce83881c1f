// The seam between a worker and what computes: weights and a slice's images in; loss, gradient and statistics out.
// Engines import this file, never the reverse.
import type { ImageBatch, Preprocessing } from '../shared/dataset/image-batch.js';
import type { ModelLayout } from '../shared/network/layout.js';
import type { EngineIdentity } from '../shared/protocol/engine-identity.js';

/** What one slice, or one part of an evaluation, gave. */
export interface BatchResult {
  /** Images. */
  sampleCount: number;
  /** The sum, not the mean, of the images' softmax cross-entropy. */
  lossSum: number;
  /** Images whose largest logit is their label's. */
  correctCount: number;
  /** Milliseconds spent on cropping, flipping and preprocessing. */
  augmentMs: number;
  /** Milliseconds spent on everything else. */
  computeMs: number;
}

export interface SliceResult extends BatchResult {
  /** The sum over the slice's images of each trainable weight's gradient, in layout order. Valid until the model's next call. */
  gradientSum: Float32Array;
  /** Per batch norm the slice's mean, then its biased variance, in layout order. Valid until the model's next call. */
  batchStatistics: Float32Array;
}

export interface EvaluationResult extends BatchResult {
  /** Each image's ten logits, [images, classes]. The caller's own. */
  logits: Float32Array;
}

/** A model on a device. Calls are made one at a time. */
export interface EngineModel {
  /**
   * Takes the weights for the calls that follow. The engine copies what it keeps: both arrays may be reused at once.
   * @param weights the trainable vector, layout.trainableSize elements
   * @param movingStatistics the statistics vector, layout.statisticsSize elements; only evaluate reads it
   */
  setWeights(weights: Float32Array, movingStatistics: Float32Array): void;
  /**
   * Does beforehand what computeSlice of this same batch needs no weights for, if the engine has such work. The batch may
   * never be computed.
   */
  prepare?(batch: ImageBatch): void;
  /** Forward and backward over one slice, batch norm over this slice alone, labels smoothed if asked for. Any number of images from 1. */
  computeSlice(batch: ImageBatch): Promise<SliceResult>;
  /** Forward alone, batch norm with the moving statistics, labels as they are. Any number of images from 1. */
  evaluate(batch: ImageBatch): Promise<EvaluationResult>;
  /** Gives the device's memory back. The model is not called again. */
  dispose(): void;
}

export interface Engine {
  readonly identity: EngineIdentity;
  /**
   * Puts a model of this layout on the device. Throws `bad-config` where this engine cannot run it.
   * @param labelSmoothing the part of a label that computeSlice spreads over all classes; 0 unless said
   */
  createModel(layout: ModelLayout, preprocessing: Preprocessing, labelSmoothing?: number): Promise<EngineModel>;
  /** Ends the engine's threads, if it has any. */
  close(): Promise<void>;
}

/** Weights, gradients, statistics and the loss are float32 in all of them. */
export const precisions = ['float32', 'bfloat16', 'float16'] as const;
export type Precision = (typeof precisions)[number];

/** What may be said of how an engine computes. Engines that do not have a setting ignore it, or refuse it. */
export interface EngineSettings {
  /** In which type convolutions and what lies between them compute; `float32` unless said. Only tensorflow has others. */
  precision?: Precision | undefined;
  /** How TensorFlow is called: `graph`, once a slice, unless said; `eager`, once an operation, which only tensorflow can. */
  tensorFlowMode?: 'graph' | 'eager' | undefined;
  /** Whether TensorFlow compiles its graphs with XLA where that is possible, which is on GPUs. */
  xla?: boolean | undefined;
}

export interface EngineOptions extends EngineSettings {
  /** Threads that one worker computes with. */
  threads: number;
}

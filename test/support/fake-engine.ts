// An engine whose gradient is cheap arithmetic on the weights and the images. Any difference in what a worker receives
// (order, augmentation, weights, slice) or in the summation order changes the bits of the gradient. The model does not
// learn anything.
import { labelAt } from '../../shared/dataset/record-format.js';
import { LockstepError } from '../../shared/errors.js';
import type { ImageBatch, Preprocessing } from '../../shared/dataset/image-batch.js';
import type { ModelLayout } from '../../shared/network/layout.js';
import type { BatchResult, Engine, EngineModel, EvaluationResult, SliceResult } from '../../worker/engine.js';

export interface FakeEngineOptions {
  fingerprint?: string;
  /** Why the engine cannot compute any network. */
  networkProblem?: string;
  /** Called before each slice is computed. May wait, or throw to simulate an engine failure. */
  beforeSlice?: () => Promise<void> | void;
  /** Called before each evaluation shard is computed. May wait, or throw to simulate an engine failure. */
  beforeEvaluation?: () => Promise<void> | void;
  /** Returns a loss sum that replaces the computed one; undefined keeps the computed one. */
  lossSum?: () => number | undefined;
  /** May corrupt the result for a slice in place. */
  corrupt?: (gradientSum: Float32Array, batchStatistics: Float32Array) => void;
}

export function fakeEngine(options: FakeEngineOptions = {}): Engine {
  return {
    identity: { engine: 'fake', fingerprint: options.fingerprint ?? 'fake/1', device: 'a fake device' },
    createModel: (layout, preprocessing, labelSmoothing = 0) =>
      options.networkProblem === undefined
        ? Promise.resolve(new FakeModel(layout, options, shiftOf(preprocessing) + labelSmoothing))
        : Promise.reject(new LockstepError('bad-config', options.networkProblem)),
    close: () => Promise.resolve(),
  };
}

/** Returns 0 for `imagenet` preprocessing; otherwise a number that depends on every measured value. */
function shiftOf(preprocessing: Preprocessing): number {
  if (preprocessing === 'imagenet') return 0;
  const values = [...preprocessing.subtract, ...preprocessing.divide];
  return values.reduce((sum, value, i) => sum + value / (i + 3), 0) / 1000;
}

/** Returns the position in the records of a pixel of an image; larger numbers start again at the first pixel. */
function pixelAt({ format }: ImageBatch, index: number, pixel: number): number {
  return index * format.recordBytes + format.labelBytes + (pixel % format.imageValues);
}

class FakeModel implements EngineModel {
  readonly #layout: ModelLayout;
  readonly #options: FakeEngineOptions;
  /** Offset added to each pixel, so that results depend on preprocessing and label smoothing. */
  readonly #shift: number;
  #weights = new Float32Array();

  constructor(layout: ModelLayout, options: FakeEngineOptions, shift: number) {
    this.#shift = shift;
    this.#layout = layout;
    this.#options = options;
  }

  setWeights(weights: Float32Array): void {
    this.#weights = weights.slice();
  }

  async computeSlice(batch: ImageBatch): Promise<SliceResult> {
    await this.#options.beforeSlice?.();
    const gradientSum = new Float32Array(this.#layout.weightsSize);
    const batchStatistics = new Float32Array(this.#layout.statisticsSize);
    batch.indices.forEach((index, position) => {
      const label = labelAt(batch.records, index, batch.format);
      const pixel = batch.records[pixelAt(batch, index, batch.augmentations[position])] / 255 + this.#shift;
      for (let i = 0; i < gradientSum.length; i++) {
        gradientSum[i] += this.#weights[i] * 0.01 + (pixel - 0.5) / (1 + ((i + label) % 13)) / 7;
      }
      batchStatistics.fill(pixel / (position + 3), 0, 1 + (position % batchStatistics.length));
    });
    const result = this.#result(batch);
    const lossSum = this.#options.lossSum?.() ?? result.lossSum;
    this.#options.corrupt?.(gradientSum, batchStatistics);
    return { ...result, lossSum, gradientSum, batchStatistics };
  }

  /**
   * Predicts each image's first pixel value modulo 10 as its class. The loss depends on augmentation and preprocessing.
   */
  async evaluate(batch: ImageBatch): Promise<EvaluationResult> {
    await this.#options.beforeEvaluation?.();
    const { classCount } = batch.format;
    const logits = new Float32Array(batch.indices.length * classCount);
    for (const [position, index] of batch.indices.entries()) {
      logits[position * classCount + (batch.records[pixelAt(batch, index, 0)] % classCount)] = 1 + this.#weights[0];
    }
    const result = this.#result(batch);
    const inputTerm = batch.augmentations.reduce((sum, packed, i) => sum + packed / (i + 2), 0) / 100 + this.#shift;
    return { ...result, lossSum: result.lossSum + inputTerm, logits };
  }

  dispose(): void {
    this.#weights = new Float32Array();
  }

  #result(batch: ImageBatch): BatchResult {
    const labels = batch.indices.reduce((sum, index) => sum + labelAt(batch.records, index, batch.format), 0);
    const sampleCount = batch.indices.length;
    return {
      sampleCount,
      lossSum: labels / 3 + this.#weights[0],
      correctCount: labels % sampleCount,
      augmentMs: 0.1,
      computeMs: 1,
    };
  }
}

// An engine whose "gradient" is cheap arithmetic on the weights and the images it is given: any difference in what a
// worker sees (order, augmentation, weights, slice) or in the order of sums changes its bits. It learns nothing.
import { recordBytes, type ImageBatch, type Preprocessing } from '../../shared/dataset/image-batch.js';
import { classCount, type ModelLayout } from '../../shared/network/layout.js';
import type { BatchResult, Engine, EngineModel, EvaluationResult, SliceResult } from '../../worker/engine.js';

export interface FakeEngineOptions {
  fingerprint?: string;
  /** Called before a slice is computed; may wait, or throw as a real engine would. */
  beforeSlice?: () => Promise<void> | void;
  /** Called before a part is evaluated; may wait, or throw as a real engine would. */
  beforePart?: () => Promise<void> | void;
  /** What it reports as a slice's loss, instead of the arithmetic's. */
  lossSum?: () => number | undefined;
  /** Called with each slice's gradient before it leaves, which it may spoil. */
  spoil?: (gradientSum: Float32Array, batchStatistics: Float32Array) => void;
}

export function fakeEngine(options: FakeEngineOptions = {}): Engine {
  return {
    identity: { engine: 'fake', fingerprint: options.fingerprint ?? 'fake/1', device: 'a fake device' },
    createModel: (layout, preprocessing, labelSmoothing = 0) =>
      Promise.resolve(new FakeModel(layout, options, shiftOf(preprocessing) + labelSmoothing)),
    close: () => Promise.resolve(),
  };
}

/** 0 for imagenet; of measured preprocessing every value counts. */
function shiftOf(preprocessing: Preprocessing): number {
  if (preprocessing === 'imagenet') return 0;
  const values = [...preprocessing.subtract, ...preprocessing.divide];
  return values.reduce((sum, value, i) => sum + value / (i + 3), 0) / 1000;
}

class FakeModel implements EngineModel {
  readonly #layout: ModelLayout;
  readonly #options: FakeEngineOptions;
  /** Added to each pixel: tells what the model was made with. */
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
    const gradientSum = new Float32Array(this.#layout.trainableSize);
    const batchStatistics = new Float32Array(this.#layout.statisticsSize);
    batch.indices.forEach((index, place) => {
      const label = batch.records[index * recordBytes];
      const pixel = batch.records[index * recordBytes + 1 + (batch.augmentations[place] % 3072)] / 255 + this.#shift;
      for (let i = 0; i < gradientSum.length; i++) {
        gradientSum[i] += this.#weights[i] * 0.01 + (pixel - 0.5) / (1 + ((i + label) % 13)) / 7;
      }
      batchStatistics.fill(pixel / (place + 3), 0, 1 + (place % batchStatistics.length));
    });
    const result = this.#result(batch);
    const lossSum = this.#options.lossSum?.() ?? result.lossSum;
    this.#options.spoil?.(gradientSum, batchStatistics);
    return { ...result, lossSum, gradientSum, batchStatistics };
  }

  /** Its logits favour the class that is a pixel's value modulo 10; its loss tells of augmentations and preprocessing. */
  async evaluate(batch: ImageBatch): Promise<EvaluationResult> {
    await this.#options.beforePart?.();
    const logits = new Float32Array(batch.indices.length * classCount);
    for (const [place, index] of batch.indices.entries()) {
      logits[place * classCount + (batch.records[index * recordBytes + 1] % classCount)] = 1 + this.#weights[0];
    }
    const result = this.#result(batch);
    const seen = batch.augmentations.reduce((sum, packed, place) => sum + packed / (place + 2), 0) / 100 + this.#shift;
    return { ...result, lossSum: result.lossSum + seen, logits };
  }

  dispose(): void {
    this.#weights = new Float32Array();
  }

  #result(batch: ImageBatch): BatchResult {
    const labels = batch.indices.reduce((sum, index) => sum + batch.records[index * recordBytes], 0);
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

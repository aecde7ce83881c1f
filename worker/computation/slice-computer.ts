// Computes partial sums: the gradients of the slices in a range, or their differences in a run with local steps, added in
// tree order or, as integers, in slice order.
import { machineMs } from '../../shared/clock.js';
import type { ImageBatch } from '../../shared/dataset/image-batch.js';
import { raiseMaximaBy } from '../../shared/encoding/maxima.js';
import type { PartialSumPayload } from '../../shared/encoding/partial-sum.js';
import type { ModelLayout } from '../../shared/network/layout.js';
import type { GradientMessage } from '../../shared/protocol/messages.js';
import { addInto, childrenOf, type SliceRange } from '../../shared/reduction/slices.js';
import type { SliceEncoder } from '../encoding/slice-encoder.js';
import type { EngineModel, SliceResult } from '../engine.js';
import type { LocalSteps } from './local-steps.js';
import { RangeTimes } from './range-times.js';
import type { SliceImages } from './slice-images.js';

/** Sample count, metrics and timing of a partial sum. The sum itself is in the payload. */
export type PartialSum = Pick<GradientMessage, 'sampleCount' | 'slices'> & { times: RangeTimes };

/** Computes the gradient of a slice. It is in the engine's buffer, which the next slice overwrites. */
type ComputeSlice = (slice: number) => Promise<Float32Array>;

export class SliceComputer {
  readonly model: EngineModel;
  readonly localSteps: LocalSteps | undefined;
  readonly #layout: ModelLayout;
  readonly #images: SliceImages;
  readonly #encoder: SliceEncoder | undefined;
  /** Batch of a slice that the engine has begun to compute while an earlier slice is in progress. */
  #enqueued: { step: number; slice: number; batch: ImageBatch } | undefined;
  /** Buffers for the sums of right subtrees, indexed by tree level. */
  readonly #scratch: Float32Array[] = [];

  /**
   * @param encoder undefined if the run's encoding is float32
   * @param localSteps undefined if each round has one step
   */
  constructor(
    layout: ModelLayout,
    model: EngineModel,
    images: SliceImages,
    encoder?: SliceEncoder,
    localSteps?: LocalSteps,
  ) {
    this.#layout = layout;
    this.model = model;
    this.#images = images;
    this.#encoder = encoder;
    this.localSteps = localSteps;
  }

  /** Returns the first step of the round after the one that starts with `step`. */
  roundEnd(step: number): number {
    return this.localSteps?.roundEnd(step) ?? step + 1;
  }

  /**
   * Computes the partial sum over an aligned range in float32.
   * @param payload views of the message, which receive the sum, the batch statistics and the maxima
   */
  async sumRange(step: number, range: SliceRange, payload: PartialSumPayload): Promise<PartialSum> {
    const partial = this.#start(payload);
    const computeSlice = async (slice: number): Promise<Float32Array> => {
      const gradient = await this.#computeSlice(step, slice, range, payload, partial);
      if (payload.maxima.length === 0) return gradient;
      partial.times.timeAddition(() => raiseMaximaBy(gradient, this.#layout.weights, payload.maxima));
      return gradient;
    };
    const sum = payload.sum as Float32Array;
    copyInto(sum, await this.#sumOf(range, sum, 0, computeSlice, partial.times), partial.times);
    return partial;
  }

  /**
   * Computes the partial sum over an aligned range in multiples of the gradient scales.
   * @param payload views of the message, which receive the sum, the batch statistics and the maxima
   */
  async sumRangeScaled(
    step: number,
    range: SliceRange,
    scales: Float32Array,
    payload: PartialSumPayload,
  ): Promise<PartialSum & { clippedCount: number }> {
    const partial = { ...this.#start(payload), clippedCount: 0 };
    for (let slice = range.first; slice < range.first + range.count; slice++) {
      const gradient = await this.#computeSlice(step, slice, range, payload, partial);
      partial.times.timeAddition(() => {
        const isFirst = slice === range.first;
        partial.clippedCount += this.#encoder!.add(gradient, { step, slice, scales }, payload, isFirst);
      });
    }
    return partial;
  }

  /** Prepares for a step: does the part of the work that does not depend on the weights. */
  async prepare(step: number, ranges: readonly SliceRange[]): Promise<void> {
    for (const { first, count } of ranges) {
      for (let slice = first; slice < first + count; slice++) {
        const batch = await this.#images.prepare(step, slice);
        if (batch !== undefined) this.model.prepare?.(batch);
      }
    }
  }

  #start({ maxima }: PartialSumPayload): PartialSum {
    maxima.fill(0);
    return { sampleCount: 0, slices: [], times: new RangeTimes() };
  }

  /** Computes a slice, and adds everything but its gradient to the payload and the partial sum. */
  async #computeSlice(
    step: number,
    slice: number,
    range: SliceRange,
    { batchStatistics }: PartialSumPayload,
    partial: PartialSum,
  ): Promise<Float32Array> {
    const result = await (this.localSteps?.takeSteps(step, slice) ?? this.#takeStep(step, slice, range));
    const { startedMs, sampleCount, lossSum, correctCount, augmentMs, computeMs } = result;
    partial.times.slices.push({ slice, startedMs, endedMs: machineMs(), augmentMs, computeMs });
    batchStatistics.set(result.batchStatistics, partial.slices.length * this.#layout.statisticsSize);
    partial.slices.push({ lossSum, correctCount });
    partial.sampleCount += sampleCount;
    return result.gradientSum;
  }

  async #takeStep(step: number, slice: number, range: SliceRange): Promise<SliceResult & { startedMs: number }> {
    const enqueued = this.#enqueued;
    this.#enqueued = undefined;
    const isEnqueued = enqueued?.step === step && enqueued.slice === slice;
    const batch = isEnqueued ? enqueued.batch : await this.#images.batch(step, slice);
    const startedMs = machineMs();
    const [result] = await Promise.all([this.model.computeSlice(batch), this.#enqueue(step, slice + 1, range)]);
    return { ...result, startedMs };
  }

  /** Lets the engine begin with a slice if it is in this range, so that the device is busy while results are read. */
  async #enqueue(step: number, slice: number, range: SliceRange): Promise<void> {
    if (this.model.enqueue === undefined || slice >= range.first + range.count) return;
    const batch = await this.#images.batch(step, slice);
    this.model.enqueue(batch);
    this.#enqueued = { step, slice, batch };
  }

  /**
   * Computes the sum over a subtree in `target` and returns `target`. For a single slice, returns the engine's buffer
   * instead.
   */
  async #sumOf(
    subtree: SliceRange,
    target: Float32Array,
    level: number,
    computeSlice: ComputeSlice,
    times: RangeTimes,
  ): Promise<Float32Array> {
    if (subtree.count === 1) return computeSlice(subtree.first);
    const [left, right] = childrenOf(subtree);
    copyInto(target, await this.#sumOf(left, target, level + 1, computeSlice, times), times);
    const scratch = right.count === 1 ? target : (this.#scratch[level] ??= new Float32Array(this.#layout.weightsSize));
    const rightSum = await this.#sumOf(right, scratch, level + 1, computeSlice, times);
    times.timeAddition(() => addInto(target, rightSum));
    return target;
  }
}

function copyInto(target: Float32Array, source: Float32Array, times: RangeTimes): void {
  if (source !== target) times.timeAddition(() => target.set(source));
}

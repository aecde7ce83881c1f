// Computes partial sums: the gradients of the slices in a range, added in tree order.
import { machineMs } from '../../shared/clock.js';
import type { ModelLayout } from '../../shared/network/layout.js';
import type { GradientMessage } from '../../shared/protocol/messages.js';
import { addInto, childrenOf, type SliceRange } from '../../shared/reduction/slices.js';
import type { EngineModel } from '../engine.js';
import { RangeTimes } from './range-times.js';
import type { SliceImages } from './slice-images.js';

/** Sample count, metrics and timing of a partial sum. The sum itself is in the payload. */
export type PartialSum = Pick<GradientMessage, 'sampleCount' | 'slices'> & { times: RangeTimes };

export class SliceComputer {
  readonly model: EngineModel;
  readonly #layout: ModelLayout;
  readonly #images: SliceImages;
  /** Buffers for the sums of right subtrees, indexed by tree level. */
  readonly #scratch: Float32Array[] = [];

  constructor(layout: ModelLayout, model: EngineModel, images: SliceImages) {
    this.#layout = layout;
    this.model = model;
    this.#images = images;
  }

  /**
   * Returns the number of float32 values in the payload for a range: the gradient, then the batch statistics of each
   * slice.
   */
  payloadFloats(range: SliceRange): number {
    return this.#layout.weightsSize + range.count * this.#layout.statisticsSize;
  }

  /**
   * Computes the partial sum over an aligned range.
   * @param payload buffer for payloadFloats(range) values, which receives the gradient and the batch statistics
   */
  async sumRange(step: number, range: SliceRange, payload: Float32Array): Promise<PartialSum> {
    const { weightsSize, statisticsSize } = this.#layout;
    const partial: PartialSum = { sampleCount: 0, slices: [], times: new RangeTimes() };

    const computeSlice = async (slice: number): Promise<Float32Array> => {
      const batch = await this.#images.batch(step, slice);
      const startedMs = machineMs();
      const result = await this.model.computeSlice(batch);
      const { sampleCount, lossSum, correctCount, augmentMs, computeMs } = result;
      partial.times.slices.push({ slice, startedMs, endedMs: machineMs(), augmentMs, computeMs });
      payload.set(result.batchStatistics, weightsSize + partial.slices.length * statisticsSize);
      partial.slices.push({ lossSum, correctCount });
      partial.sampleCount += sampleCount;
      return result.gradientSum;
    };
    /**
     * Computes the sum over a subtree in `target` and returns `target`. For a single slice, returns the engine's buffer
     * instead, which the next slice overwrites.
     */
    const sumOf = async (subtree: SliceRange, target: Float32Array, level: number): Promise<Float32Array> => {
      if (subtree.count === 1) return computeSlice(subtree.first);
      const [left, right] = childrenOf(subtree);
      copyInto(target, await sumOf(left, target, level + 1), partial.times);
      const scratch = right.count === 1 ? target : (this.#scratch[level] ??= new Float32Array(weightsSize));
      const rightSum = await sumOf(right, scratch, level + 1);
      partial.times.timeAddition(() => addInto(target, rightSum));
      return target;
    };
    const gradient = payload.subarray(0, weightsSize);
    copyInto(gradient, await sumOf(range, gradient, 0), partial.times);
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
}

function copyInto(target: Float32Array, source: Float32Array, times: RangeTimes): void {
  if (source !== target) times.timeAddition(() => target.set(source));
}

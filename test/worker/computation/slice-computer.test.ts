import { describe, expect, it } from 'vitest';
import { cifar10Format, cifar10Description } from '../../../shared/dataset/cifar10-layout.js';
import { resolveConfig } from '../../../shared/config/config.js';
import { PartialSumFormat } from '../../../shared/encoding/partial-sum.js';
import type { ImageBatch } from '../../../shared/dataset/image-batch.js';
import type { ModelLayout } from '../../../shared/network/layout.js';
import { KeyedRandom } from '../../../shared/random.js';
import type { SliceRange } from '../../../shared/reduction/slices.js';
import { SliceComputer } from '../../../worker/computation/slice-computer.js';
import { SliceImages } from '../../../worker/computation/slice-images.js';
import type { EngineModel, EvaluationResult, SliceResult } from '../../../worker/engine.js';
import { RecordsInMemory } from '../../../worker/shards/shard-records.js';
import { bitsOf, treeSum } from '../../support/tree-sum.js';
import { resnetLayout } from '../../support/resnet-layout.js';

const { recordBytes } = cifar10Format;

const gradientSize = 3;
const statisticsSize = 2;
const shardSize = 13;
const layout: ModelLayout = {
  ...resnetLayout(),
  weightsSize: gradientSize,
  statisticsSize,
};

/** Fake model that identifies a slice by the label of its images. Like real engines, it reuses returned arrays. */
class LabelModel implements EngineModel {
  readonly batches: ImageBatch[] = [];
  readonly prepared: ImageBatch[] = [];
  readonly #gradients: readonly Float32Array[];
  readonly #gradientSum = new Float32Array(gradientSize);
  readonly #batchStatistics = new Float32Array(statisticsSize);

  constructor(gradients: readonly Float32Array[]) {
    this.#gradients = gradients;
  }

  setWeights(): void {}

  prepare(batch: ImageBatch): void {
    this.prepared.push(batch);
  }

  computeSlice(batch: ImageBatch): Promise<SliceResult> {
    this.batches.push(batch);
    const slice = batch.records[0];
    this.#gradientSum.set(this.#gradients[slice]);
    this.#batchStatistics.set([slice, slice + 0.5]);
    return Promise.resolve({
      sampleCount: batch.indices.length,
      lossSum: 10 * slice,
      correctCount: slice,
      augmentMs: 2,
      computeMs: 5,
      gradientSum: this.#gradientSum,
      batchStatistics: this.#batchStatistics,
    });
  }

  evaluate(): Promise<EvaluationResult> {
    throw new Error('not part of this test');
  }

  dispose(): void {}
}

function computerOf(gradients: readonly Float32Array[], slices = 4, batchSize = 12) {
  const model = new LabelModel(gradients);
  const config = resolveConfig({ seed: 6, slices, batchSize });
  // The label of each image is the index of its slice.
  const images = new SliceImages(
    { config, dataset: cifar10Description, stepsPerEpoch: 4, preprocessing: 'imagenet' },
    (_split, slice) =>
      Promise.resolve(new RecordsInMemory(new Uint8Array(shardSize * recordBytes).fill(slice), cifar10Format)),
  );
  const computer = new SliceComputer(layout, model, images);
  async function sum(step: number, range: SliceRange) {
    const format = new PartialSumFormat(layout, 'float32');
    const payload = format.viewsOf(new Float32Array(format.payloadFloats(range.count)), range.count);
    const { times, ...report } = await computer.sumRange(step, range, payload);
    return {
      gradientSum: payload.sum as Float32Array,
      statistics: payload.batchStatistics,
      report,
      times,
    };
  }
  return { model, computer, sum };
}

/**
 * Gradients whose sum depends on the order of addition: in float32, 2^24 + 1 is rounded to 2^24, but 2^24 + 2 is exact.
 */
const gradients = [2 ** 24, 1, 1, 1].map((value) => new Float32Array(gradientSize).fill(value));

describe('the partial sum over a range', () => {
  it('is computed in tree order', async () => {
    // (2^24 + 1) + (1 + 1) = 2^24 + 2. Added from left to right, the sum would be 2^24.
    const { gradientSum } = await computerOf(gradients).sum(0, { first: 0, count: 4 });
    expect([...gradientSum]).toEqual(Array(gradientSize).fill(2 ** 24 + 2));
  });

  it.each([
    [{ first: 2, count: 1 }, 1],
    [{ first: 0, count: 2 }, 2 ** 24],
    [{ first: 2, count: 2 }, 2],
  ])('contains only the slices of %o', async (range, sum) => {
    const { gradientSum } = await computerOf(gradients).sum(0, range);
    expect(gradientSum[0]).toBe(sum);
  });

  it.each(Array.from({ length: 9 }, (_, index) => index + 1))(
    'of %i slices has the same bits as a sum in tree order',
    async (count) => {
      const random = new KeyedRandom(count, 'synthesis');
      const others = Array.from({ length: count }, (_, slice) =>
        Float32Array.from({ length: gradientSize }, (_unused, i) => random.uniformAt(slice * gradientSize + i) - 0.5),
      );
      const { sum } = computerOf(others, count, count);
      const { gradientSum } = await sum(0, { first: 0, count });
      expect(bitsOf(gradientSum)).toEqual(bitsOf(treeSum(others, 0, count)));
      // The second sum must overwrite the buffers of the first one, not add to them.
      expect(bitsOf((await sum(1, { first: 0, count })).gradientSum)).toEqual(bitsOf(gradientSum));
    },
  );

  it('lets the engine begin with the next slice of the range before it returns a slice', async () => {
    const { model, sum } = computerOf(gradients);
    const enqueued: ImageBatch[] = [];
    const begun = Object.assign(model, { enqueue: (batch: ImageBatch) => enqueued.push(batch) });
    await sum(0, { first: 1, count: 2 });
    await sum(0, { first: 3, count: 1 });
    expect(begun.batches.map(({ records }) => records[0])).toEqual([1, 2, 3]);
    // The engine recognizes the batch by its identity.
    expect(enqueued).toEqual([begun.batches[1]]);
    expect(enqueued[0]).toBe(begun.batches[1]);
  });

  it('is followed by the batch statistics of each slice, in slice order', async () => {
    const { statistics } = await computerOf(gradients).sum(0, { first: 0, count: 4 });
    expect([...statistics]).toEqual([0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5]);
    const right = await computerOf(gradients).sum(0, { first: 2, count: 2 });
    expect([...right.statistics]).toEqual([2, 2.5, 3, 3.5]);
  });

  it('comes with the number of images, and the loss and correct predictions of each slice', async () => {
    const { report } = await computerOf(gradients).sum(0, { first: 2, count: 2 });
    expect(report).toEqual({
      // 2 slices × 3 images
      sampleCount: 6,
      slices: [
        { lossSum: 20, correctCount: 2 },
        { lossSum: 30, correctCount: 3 },
      ],
    });
  });

  it('comes with the times of each slice and addition, and their sums', async () => {
    const { times } = await computerOf(gradients).sum(0, { first: 0, count: 4 });
    expect(times.slices.map(({ slice }) => slice)).toEqual([0, 1, 2, 3]);
    // Slices 0 and 2 are copied, slices 1 and 3 are added to the copies, and the right half is added to the left.
    expect(times.additions).toHaveLength(5);
    const { augmentMs, computeMs, reduceMs } = times.phases;
    expect([augmentMs, computeMs]).toEqual([8, 20]);
    expect(reduceMs).toBe(times.additions.reduce((sum, { startedMs, endedMs }) => sum + (endedMs - startedMs), 0));
  });
});

it('a step that was prepared uses the batches that the engine has already prepared', async () => {
  const ranges: SliceRange[] = [
    { first: 0, count: 2 },
    { first: 2, count: 1 },
  ];
  const { model, computer, sum } = computerOf(gradients);
  await computer.prepare(4, ranges);
  for (const range of ranges) await sum(4, range);
  expect(model.prepared).toHaveLength(3);
  expect(model.batches.every((batch, slice) => batch === model.prepared[slice])).toBe(true);
});

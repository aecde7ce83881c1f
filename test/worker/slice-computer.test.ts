import { describe, expect, it } from 'vitest';
import { epochOrder, augmentationsOf } from '../../shared/dataset/partition.js';
import {
  isFlipped,
  isReflected,
  identityAugmentations,
  recordBytes,
  type ImageBatch,
} from '../../shared/dataset/image-batch.js';
import { classCount, layoutModel, type ModelLayout } from '../../shared/network/layout.js';
import { noClass, type Split } from '../../shared/protocol/messages.js';
import { KeyedRandom } from '../../shared/random.js';
import type { SliceRange } from '../../shared/reduction/slices.js';
import type { EngineModel, EvaluationResult, SliceResult } from '../../worker/engine.js';
import { classesOf, SliceComputer, type RunPlan } from '../../worker/slice-computer.js';
import { bitsOf, treeSum } from '../support/tree-sum.js';

const gradientSize = 3;
const statisticsSize = 2;
const shardSize = 13;
/** 3 images a slice and step; 4 × 3 = 12 of 13 images an epoch. */
const plan: RunPlan = {
  seed: 6,
  augment: true,
  flip: 'random',
  cropPadding: 'zeros',
  augmentValidation: false,
  slices: 4,
  batchSize: 12,
  stepsPerEpoch: 4,
};
const layout: ModelLayout = {
  ...layoutModel({ depth: 8, initialFilters: 4, shortcut: 'identity', convBias: false, bnEpsilon: 0.001 }),
  trainableSize: gradientSize,
  statisticsSize,
};

/** Knows a slice by its images' label. Hands out the same arrays each time, as a real engine does. */
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

  evaluate(batch: ImageBatch): Promise<EvaluationResult> {
    this.batches.push(batch);
    return Promise.resolve({
      sampleCount: batch.indices.length,
      lossSum: 1,
      correctCount: 2,
      augmentMs: 0,
      computeMs: 0,
      logits: new Float32Array(batch.indices.length * classCount),
    });
  }

  dispose(): void {}
}

/** Shards of 13 images whose labels are the slice's number. */
function shardOf(split: Split, index: number): Promise<Uint8Array> {
  const records = new Uint8Array(shardSize * recordBytes);
  for (let image = 0; image < shardSize; image++) records[image * recordBytes] = split === 'training' ? index : 9;
  return Promise.resolve(records);
}

function computerOf(gradients: readonly Float32Array[], change: Partial<RunPlan> = {}) {
  const model = new LabelModel(gradients);
  const computer = new SliceComputer({ ...plan, ...change }, layout, model, shardOf);
  async function answer(step: number, range: SliceRange) {
    const values = new Float32Array(computer.answerFloats(range));
    const report = await computer.sumRange(step, range, values);
    return { gradientSum: values.subarray(0, gradientSize), statistics: values.subarray(gradientSize), report };
  }
  return { model, computer, answer };
}

/** Gradients whose sums depend on the order: 2^24 + 1 is 2^24 in float32, 2^24 + 2 is not. */
const gradients = [2 ** 24, 1, 1, 1].map((value) => new Float32Array(gradientSize).fill(value));

describe('the sum over a range', () => {
  it('is taken in the tree’s order', async () => {
    // (2^24 + 1) + (1 + 1) = 2^24 + 2; from left to right it would be 2^24.
    const { gradientSum } = await computerOf(gradients).answer(0, { first: 0, count: 4 });
    expect([...gradientSum]).toEqual(Array(gradientSize).fill(2 ** 24 + 2));
  });

  it.each([
    [{ first: 2, count: 1 }, 1],
    [{ first: 0, count: 2 }, 2 ** 24],
    [{ first: 2, count: 2 }, 2],
  ])('%o is its own slices’ alone', async (range, sum) => {
    const { gradientSum } = await computerOf(gradients).answer(0, range);
    expect(gradientSum[0]).toBe(sum);
  });

  it.each(Array.from({ length: 9 }, (_, index) => index + 1))(
    'of %i slices has the bits of the tree',
    async (count) => {
      const random = new KeyedRandom(count, 'synthesis');
      const others = Array.from({ length: count }, (_, slice) =>
        Float32Array.from({ length: gradientSize }, (_unused, i) => random.uniformAt(slice * gradientSize + i) - 0.5),
      );
      const { answer } = computerOf(others, { slices: count, batchSize: count });
      const { gradientSum } = await answer(0, { first: 0, count });
      expect(bitsOf(gradientSum)).toEqual(bitsOf(treeSum(others, 0, count)));
      // The buffers of the first answer are used again, not added to.
      expect(bitsOf((await answer(1, { first: 0, count })).gradientSum)).toEqual(bitsOf(gradientSum));
    },
  );

  it('is followed by each slice’s statistics, in slice order', async () => {
    const { statistics } = await computerOf(gradients).answer(0, { first: 0, count: 4 });
    expect([...statistics]).toEqual([0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5]);
    const right = await computerOf(gradients).answer(0, { first: 2, count: 2 });
    expect([...right.statistics]).toEqual([2, 2.5, 3, 3.5]);
  });

  it('is reported with its images, each slice’s loss and correct answers, and the engine’s time', async () => {
    const { report } = await computerOf(gradients).answer(0, { first: 2, count: 2 });
    expect(report).toMatchObject({
      // 2 slices of 3 images.
      sampleCount: 6,
      slices: [
        { lossSum: 20, correctCount: 2 },
        { lossSum: 30, correctCount: 3 },
      ],
      augmentMs: 4,
      computeMs: 10,
    });
  });
});

describe('the images of a slice', () => {
  it('are the next of its shard in the epoch’s order, in the step’s views', async () => {
    const { model, answer } = computerOf(gradients);
    // Step 6 is the third of epoch 1: its images are at 6 to 8 of the order.
    await answer(6, { first: 3, count: 1 });
    const [batch] = model.batches;
    expect([...batch.indices]).toEqual([...epochOrder(6, 1, 3, shardSize)].slice(6, 9));
    expect(batch.views).toEqual(augmentationsOf({ seed: 6, step: 6, slice: 3, count: 3, augment: true }));
  });

  it('are each there at most once in an epoch', async () => {
    const { model, answer } = computerOf(gradients);
    for (let step = 4; step < 8; step++) await answer(step, { first: 1, count: 1 });
    const seen = new Set<number>();
    for (const { indices } of model.batches) for (const index of indices) seen.add(index);
    // 4 steps of 3 images.
    expect(seen.size).toBe(12);
  });

  it('do not depend on what was computed before', async () => {
    const { model, answer } = computerOf(gradients);
    await answer(0, { first: 0, count: 4 });
    await answer(7, { first: 0, count: 4 });
    await answer(1, { first: 2, count: 1 });
    const fresh = computerOf(gradients);
    await fresh.answer(1, { first: 2, count: 1 });
    expect(model.batches.at(-1)).toEqual(fresh.model.batches[0]);
  });

  it('are plain without augmentation', async () => {
    const { model, answer } = computerOf(gradients, { augment: false });
    await answer(0, { first: 0, count: 1 });
    expect(model.batches[0].views).toEqual(identityAugmentations(3));
  });
});

describe('where flips alternate', () => {
  /** Whether each image that slice 1 sees in an epoch is flipped. */
  async function flipsOf(epoch: number) {
    const { model, answer } = computerOf(gradients, { flip: 'alternating' });
    for (let step = 4 * epoch; step < 4 * epoch + 4; step++) await answer(step, { first: 1, count: 1 });
    return new Map(
      model.batches.flatMap(({ indices, views }) => Array.from(indices, (index, i) => [index, isFlipped(views[i])])),
    );
  }

  it('two successive epochs show both views of each image', async () => {
    const epochs = await Promise.all([0, 1, 2, 3].map(flipsOf));
    for (const [epoch, flips] of epochs.entries()) {
      const next = epochs[epoch + 1];
      if (next === undefined) break;
      // 12 of 13 images are seen in an epoch, so that at least 11 are in both.
      const both = [...flips].filter(([image]) => next.has(image));
      expect(both.length).toBeGreaterThanOrEqual(11);
      for (const [image, flipped] of both) expect(next.get(image)).toBe(!flipped);
    }
    expect(new Set(epochs[0].values()).size).toBe(2);
  });

  it('crops are those of random flips, and so is the validation', async () => {
    const [random, alternating] = (['random', 'alternating'] as const).map((flip) =>
      computerOf(gradients, { flip, augmentValidation: true }),
    );
    for (const { answer, computer } of [random, alternating]) {
      await answer(5, { first: 2, count: 1 });
      await computer.evaluateShard({ step: 8, split: 'validation', index: 0 });
    }
    const [[drawn, validation], [given, sameValidation]] = [random, alternating].map(({ model }) =>
      model.batches.map(({ views }) => views),
    );
    expect(given.map((view) => view & 255)).toEqual(drawn.map((view) => view & 255));
    expect(sameValidation).toEqual(validation);
  });
});

it('a reflected padding is that of training images and of augmented validation images', async () => {
  const { model, computer, answer } = computerOf(gradients, { cropPadding: 'reflect', augmentValidation: true });
  await answer(0, { first: 0, count: 1 });
  await computer.evaluateShard({ step: 8, split: 'validation', index: 0 });
  await computer.evaluateShard({ step: 8, split: 'test', index: 0 });
  const reflected = model.batches.map(({ views }) => views.every((view) => isReflected(view)));
  expect(reflected).toEqual([true, true, false]);
});

describe('a part of an evaluation', () => {
  it('is all of its images, in their order and the plain view', async () => {
    const { model, computer } = computerOf(gradients);
    const result = await computer.evaluateShard({ step: 8, split: 'test', index: 0 });
    expect(result).toMatchObject({ sampleCount: shardSize, lossSum: 1, correctCount: 2 });
    expect([...model.batches[0].indices]).toEqual(Array.from({ length: shardSize }, (_, index) => index));
    expect(model.batches[0].views).toEqual(identityAugmentations(shardSize));
    expect(model.batches[0].records[0]).toBe(9);
  });

  it('is augmented where validation is, with views of its own for each step and part; a test never is', async () => {
    const { model, computer } = computerOf(gradients, { augmentValidation: true });
    const parts = [
      { step: 8, split: 'validation', index: 0 },
      { step: 8, split: 'validation', index: 0 },
      { step: 9, split: 'validation', index: 0 },
      { step: 8, split: 'validation', index: 1 },
      { step: 8, split: 'test', index: 0 },
    ] as const;
    for (const part of parts) await computer.evaluateShard(part);
    const [first, again, later, other, test] = model.batches.map(({ views }) => views.join());
    expect(again).toBe(first);
    expect(new Set([first, later, other, test]).size).toBe(4);
    expect(test).toBe(identityAugmentations(shardSize).join());
    const inTraining = augmentationsOf({ seed: plan.seed, step: 8, slice: 0, count: shardSize, augment: true });
    expect(first).not.toBe(inTraining.join());
  });
});

it('an image is taken for the class of its largest logit, the first of several, and none where no logit is a number', () => {
  const rising = Array.from({ length: 10 }, (_, label) => label);
  const images = [rising, rising.toReversed(), Array(10).fill(2), [NaN, ...rising.slice(1)], Array(10).fill(NaN)];
  expect([...classesOf(Float32Array.from(images.flat() as number[]))]).toEqual([9, 0, 0, 9, noClass]);
});

describe('what is done while the weights are on their way', () => {
  const halves: SliceRange[] = [
    { first: 0, count: 2 },
    { first: 2, count: 1 },
  ];

  it('is the very batches of the next step', async () => {
    const ahead = computerOf(gradients);
    const straight = computerOf(gradients);
    // Step 3 ends the first epoch, so that step 4 has another order.
    await ahead.answer(3, halves[0]);
    await ahead.computer.prepare(4, halves);
    for (const range of halves) {
      await ahead.answer(4, range);
      await straight.answer(4, range);
    }
    expect(ahead.model.prepared).toHaveLength(3);
    expect(ahead.model.batches.slice(2).every((batch, i) => batch === ahead.model.prepared[i])).toBe(true);
    expect(ahead.model.batches.slice(2)).toEqual(straight.model.batches);
  });

  it('is of no use to another step, or to slices that are asked for instead', async () => {
    const ahead = computerOf(gradients);
    const straight = computerOf(gradients);
    await ahead.computer.prepare(2, halves);
    for (const { answer } of [ahead, straight]) {
      await answer(1, halves[0]);
      await answer(2, { first: 3, count: 1 });
    }
    expect(ahead.model.batches).toEqual(straight.model.batches);
  });
});

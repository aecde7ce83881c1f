import { describe, expect, it } from 'vitest';
import { cifar10Format, cifar10Description } from '../../../shared/dataset/cifar10-layout.js';
import { resolveConfig, type ConfigInput } from '../../../shared/config/config.js';
import { identityAugmentations, isFlipped, isReflected, type ImageBatch } from '../../../shared/dataset/image-batch.js';
import { augmentationsOf } from '../../../shared/dataset/partition.js';
import { viewsOf } from '../../../shared/dataset/test-time-augmentation.js';
import { noClass } from '../../../shared/protocol/predictions.js';
import type { EvaluateMessage } from '../../../shared/protocol/messages.js';
import { classesOf, evaluateShard, isAmongLargest } from '../../../worker/computation/evaluate-shard.js';
import type { EngineModel } from '../../../worker/engine.js';
import { RecordsInMemory } from '../../../worker/shards/shard-records.js';
import { fakeEngine } from '../../support/fake-engine.js';
import { resnetLayout } from '../../support/resnet-layout.js';

const { recordBytes, classCount } = cifar10Format;

const shardSize = 13;
const records = new Uint8Array(shardSize * recordBytes).fill(9);
const readShard = () => Promise.resolve(new RecordsInMemory(records, cifar10Format));

/** Evaluates shards one after another. Returns the batches that the model received, and the answers. */
async function evaluate(input: ConfigInput, ...shards: Omit<EvaluateMessage, 'type'>[]) {
  const config = resolveConfig({ seed: 6, ...input });
  const layout = resnetLayout(config);
  const real = await fakeEngine().createModel(layout, 'imagenet');
  real.setWeights(new Float32Array(layout.weightsSize), new Float32Array(layout.statisticsSize));
  const batches: ImageBatch[] = [];
  const model: EngineModel = {
    setWeights: (...vectors) => real.setWeights(...vectors),
    computeSlice: (batch) => real.computeSlice(batch),
    dispose: () => real.dispose(),
    evaluate(batch) {
      batches.push(batch);
      return real.evaluate(batch);
    },
  };
  const answers = [];
  for (const shard of shards) {
    answers.push(
      await evaluateShard({ config, dataset: cifar10Description, preprocessing: 'imagenet' }, model, readShard, {
        type: 'evaluate',
        ...shard,
      }),
    );
  }
  return { batches, answers };
}

describe('the evaluation of a shard', () => {
  it('covers all of its images, in order and not augmented', async () => {
    const shard = { step: 8, split: 'test', index: 0 } as const;
    const { batches, answers } = await evaluate({}, shard);
    const [[message, predicted]] = answers;
    expect(message).toMatchObject({ type: 'evaluation', ...shard, sampleCount: shardSize });
    expect(predicted).toHaveLength(shardSize);
    expect(batches[0].records).toBe(records);
    expect([...batches[0].indices]).toEqual(Array.from({ length: shardSize }, (_, index) => index));
    expect(batches[0].augmentations).toEqual(identityAugmentations(shardSize));
  });

  it('augments validation images with `augmentValidation`, differently for each step and shard, and never test images', async () => {
    const { batches } = await evaluate(
      { augmentValidation: true },
      { step: 8, split: 'validation', index: 0 },
      { step: 8, split: 'validation', index: 0 },
      { step: 9, split: 'validation', index: 0 },
      { step: 8, split: 'validation', index: 1 },
      { step: 8, split: 'test', index: 0 },
    );
    const [first, again, nextStep, otherShard, test] = batches.map(({ augmentations }) => augmentations.join());
    expect(again).toBe(first);
    expect(new Set([first, nextStep, otherShard, test]).size).toBe(4);
    expect(test).toBe(identityAugmentations(shardSize).join());
    const inTraining = augmentationsOf({ seed: 6, step: 8, slice: 0, count: shardSize, augment: true });
    expect(first).not.toBe(inTraining.join());
  });

  it('applies all augmentations to validation images with `augmentValidation`, and none to others', async () => {
    const shard = { step: 8, split: 'validation', index: 0 } as const;
    for (const [input, given] of [
      [{ augmentValidation: true, cutout: 8 }, shard],
      [{ cutout: 8 }, shard],
      [
        { augmentValidation: true, cutout: 8 },
        { ...shard, split: 'test' },
      ],
      [{ augment: false, augmentValidation: true, cutout: 8 }, shard],
    ] as const) {
      const [batch] = (await evaluate(input, given)).batches;
      const isAugmented = 'augmentValidation' in input && given.split === 'validation';
      expect(batch.records.includes(124)).toBe(isAugmented);
    }
  });

  it('does not flip digits, or any image with `flip` none', async () => {
    const shard = { step: 8, split: 'validation', index: 0 } as const;
    const { batches } = await evaluate({ augmentValidation: true, flip: 'none' }, shard);
    expect(batches[0].augmentations.some(isFlipped)).toBe(false);
    expect(new Set(batches[0].augmentations).size).toBeGreaterThan(5);
  });

  it('averages over views with test-time augmentation, of test images too', async () => {
    const shard = { step: 8, split: 'test', index: 0 } as const;
    const { batches, answers } = await evaluate({ testTimeAugmentation: 'flip-and-shift' }, shard);
    expect(batches.map(({ augmentations }) => augmentations[0])).toEqual(
      viewsOf('flip-and-shift').map(({ augmentation }) => augmentation),
    );
    const [[message, predicted]] = answers;
    // Every pixel is 9, so every view predicts class 9, which is also the label.
    expect(message).toMatchObject({ sampleCount: shardSize, correctCount: shardSize, topFiveCount: shardSize });
    expect([...predicted]).toEqual(Array(shardSize).fill(9));
  });

  it('uses reflected padding with `cropPadding` reflect, and does not depend on `flip`', async () => {
    const shard = { step: 8, split: 'validation', index: 0 } as const;
    const augmentations = async (input: ConfigInput) =>
      (await evaluate({ augmentValidation: true, ...input }, shard)).batches[0].augmentations;
    expect((await augmentations({ cropPadding: 'reflect' })).every((augmentation) => isReflected(augmentation))).toBe(
      true,
    );
    expect(await augmentations({ flip: 'alternating' })).toEqual(await augmentations({ flip: 'random' }));
  });
});

it('the predicted class has the largest logit, the first of equal ones, and is noClass if all are NaN', () => {
  const rising = Array.from({ length: classCount }, (_, label) => label);
  const images = [rising, rising.toReversed(), Array(10).fill(2), [NaN, ...rising.slice(1)], Array(10).fill(NaN)];
  expect([...classesOf(Float32Array.from(images.flat() as number[]), classCount)]).toEqual([9, 0, 0, 9, noClass]);
});

it('a label is among the five largest logits if fewer than five come before it', () => {
  const logits = Float32Array.of(5, 4, 4, 3, 2, 2, 1);
  expect([0, 1, 2, 3, 4, 5, 6].map((label) => isAmongLargest(logits, label))).toEqual([
    ...Array<boolean>(5).fill(true),
    false, // 2 occurs twice, and the first one is the fifth
    false,
  ]);
  expect(isAmongLargest(Float32Array.of(NaN, 1), 0)).toBe(false);
});

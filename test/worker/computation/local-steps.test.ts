// Compares a round with a plain implementation of it: SGD with momentum as in Keras, on one slice, rounded to float32.
import { describe, expect, it } from 'vitest';
import { resolveConfig, type ConfigInput } from '../../../shared/config/config.js';
import { cifar10Description, cifar10Format } from '../../../shared/dataset/cifar10-layout.js';
import type { ImageBatch } from '../../../shared/dataset/image-batch.js';
import type { ModelLayout } from '../../../shared/network/layout.js';
import { learningRateAt } from '../../../shared/optimizer/learning-rate.js';
import { loadUpdateModule } from '../../../shared/optimizer/load-update-module.js';
import { AbandonedRound, LocalSteps } from '../../../worker/computation/local-steps.js';
import { SliceImages } from '../../../worker/computation/slice-images.js';
import type { EngineModel, EvaluationResult, SliceResult } from '../../../worker/engine.js';
import { RecordsInMemory } from '../../../worker/shards/shard-records.js';
import { resnetLayout } from '../../support/resnet-layout.js';
import { bitsOf } from '../../support/tree-sum.js';

const f = Math.fround;
const stepsPerEpoch = 5;
const array = { shape: [2], size: 2, trainable: true, initializer: 'zeros' } as const;
/** A kernel with weight decay, an array with a learning-rate factor, and a frozen array. */
const layout: ModelLayout = {
  ...resnetLayout(),
  weights: [
    { ...array, name: 'a/kernel', offset: 0, weightDecay: true, learningRateFactor: 1 },
    { ...array, name: 'b/gamma', offset: 2, weightDecay: false, learningRateFactor: 2 },
    { ...array, name: 'c/bias', offset: 4, weightDecay: false, learningRateFactor: 1, trainable: false },
  ],
  weightsSize: 6,
  statisticsSize: 2,
};
const start = Float32Array.of(0.1, -0.2, 0.3, 0.4, 0.5, 0.6);
const input: ConfigInput = {
  localSteps: 3,
  slices: 2,
  batchSize: 4,
  epochs: 2,
  seed: 3,
  schedule: 'cosine',
  learningRate: 0.3,
  momentum: 0.9,
  nesterov: true,
  weightDecay: 0.01,
  bnMomentum: 0.7,
};

/** A model whose gradients depend on the weights and on which images it gets. */
class QuadraticModel implements EngineModel {
  readonly batches: ImageBatch[] = [];
  weights = new Float32Array();
  poison = 0;

  setWeights(weights: Float32Array): void {
    this.weights = weights.slice();
  }

  computeSlice(batch: ImageBatch): Promise<SliceResult> {
    this.batches.push(batch);
    const images = batch.indices.reduce((sum, index) => sum + index + 1, 0);
    return Promise.resolve({
      sampleCount: batch.indices.length,
      lossSum: images,
      correctCount: 1,
      augmentMs: 2,
      computeMs: 5,
      gradientSum: this.weights.map((weight, i) => weight * images + i + this.poison),
      batchStatistics: Float32Array.of(images, images / 3),
    });
  }

  evaluate(): Promise<EvaluationResult> {
    throw new Error('not part of this test');
  }

  dispose(): void {}
}

async function localStepsWith(overrides: ConfigInput = {}) {
  const config = resolveConfig({ ...input, ...overrides });
  const run = { config, dataset: cifar10Description, stepsPerEpoch, preprocessing: 'imagenet' } as const;
  const shard = new RecordsInMemory(new Uint8Array(11 * cifar10Format.recordBytes), cifar10Format);
  const images = new SliceImages(run, () => Promise.resolve(shard));
  const model = new QuadraticModel();
  let firstNeeded = 0;
  const isNeeded = (step: number) => step >= firstNeeded;
  const localSteps = new LocalSteps(run, layout, model, images, isNeeded, await loadUpdateModule());
  localSteps.setStart(start, new Float32Array(2));
  return { config, images, model, localSteps, need: (step: number) => (firstNeeded = step) };
}

/** Takes the steps of a round one by one, in plain arithmetic. */
async function reference(first: number, end: number, slice: number) {
  const { config, images } = await localStepsWith();
  const model = new QuadraticModel();
  const { momentum, weightDecay } = config;
  const weights = start.slice();
  const velocity = new Float32Array(weights.length);
  const folded = new Float32Array(2);
  let lossSum = 0;
  for (let step = first; step < end; step++) {
    model.setWeights(weights);
    const result = await model.computeSlice(await images.batch(step, slice));
    lossSum += result.lossSum;
    const rate = learningRateAt(step, config, { totalSteps: 2 * stepsPerEpoch, stepsPerEpoch });
    for (let i = 0; i < 4; i++) {
      const isKernel = i < 2;
      let gradient = f(result.gradientSum[i] / 2);
      if (isKernel) gradient = f(gradient + f(f(weightDecay) * weights[i]));
      const scaled = f(f(isKernel ? rate : 2 * rate) * gradient);
      velocity[i] = f(f(f(momentum) * velocity[i]) - scaled);
      weights[i] = f(weights[i] + f(f(f(momentum) * velocity[i]) - scaled));
    }
    for (let i = 0; i < 2; i++) {
      folded[i] = f(f(f(0.7) * folded[i]) + f(f(1 - 0.7) * result.batchStatistics[i]));
    }
  }
  return { difference: start.map((weight, i) => weight - weights[i]), folded, lossSum };
}

describe('a round of local steps', () => {
  it.each([
    { first: 0, end: 3, slice: 0 },
    { first: 0, end: 3, slice: 1 },
    // The second round of an epoch of five steps has two.
    { first: 3, end: 5, slice: 0 },
    { first: 5, end: 8, slice: 0 },
  ])('has the bits of SGD with momentum from step $first on slice $slice', async ({ first, end, slice }) => {
    const { localSteps } = await localStepsWith();
    const { difference, folded, lossSum } = await reference(first, end, slice);
    const result = await localSteps.takeSteps(first, slice);
    expect(bitsOf(result.gradientSum)).toEqual(bitsOf(difference));
    expect(bitsOf(result.batchStatistics)).toEqual(bitsOf(folded));
    const steps = end - first;
    expect(result).toMatchObject({ sampleCount: 2 * steps, lossSum, correctCount: steps, augmentMs: 2 * steps });
    expect(localSteps.roundEnd(first)).toBe(end);
  });

  it('does not depend on the slices before it', async () => {
    const { localSteps } = await localStepsWith();
    await localSteps.takeSteps(0, 0);
    const { gradientSum } = await localSteps.takeSteps(0, 1);
    expect(bitsOf(gradientSum)).toEqual(bitsOf((await reference(0, 3, 1)).difference));
  });

  it('takes the images that the slice would take in these steps', async () => {
    const { localSteps, model, images } = await localStepsWith();
    await localSteps.takeSteps(5, 1);
    const expected = [];
    for (const step of [5, 6, 7]) expected.push([...(await images.batch(step, 1)).indices]);
    expect(model.batches.map(({ indices }) => [...indices])).toEqual(expected);
  });

  it('passes on values that are not finite, and leaves frozen weights alone', async () => {
    const { localSteps, model } = await localStepsWith();
    model.poison = Infinity;
    const { gradientSum } = await localSteps.takeSteps(0, 0);
    expect([...gradientSum].map(Number.isFinite)).toEqual([false, false, false, false, true, true]);
    expect([...gradientSum.subarray(4)]).toEqual([0, 0]);
  });

  it('is abandoned after the current step once a later one is needed', async () => {
    const { localSteps, model, need } = await localStepsWith();
    const round = localSteps.takeSteps(0, 0);
    need(3);
    await expect(round).rejects.toBeInstanceOf(AbandonedRound);
    expect(model.batches.length).toBeLessThan(3);
  });
});

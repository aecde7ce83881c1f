// A training step and an evaluation of ResNets, compared with float64 loops.
import { afterAll, describe, expect, test } from 'vitest';
import { cifar10Format } from '../../../../shared/dataset/cifar10-layout.js';
import type { ImageBatch } from '../../../../shared/dataset/image-batch.js';
import type { ModelLayout } from '../../../../shared/network/layout.js';
import type { ResnetOptions } from '../../../../shared/network/networks/resnet.js';
import { arrayOf } from '../../../../shared/network/layout.js';
import { perPixelMean, standardize } from '../../../support/random-batch.js';
import { referenceOfBatch } from '../../../support/reference-batch.js';
import { openAvailableWasmEngines } from '../../../support/wasm-engines.js';
import { maxError, randomBatch, randomMovingStatistics, randomWeights } from './samples.js';
import { resnetLayout } from '../../../support/resnet-layout.js';

const { recordBytes } = cifar10Format;

const engines = await openAvailableWasmEngines();
afterAll(() => Promise.all(engines.map((engine) => engine.close())));

/** Returns the largest error in any array of the gradient, relative to the array's largest value. */
function maxArrayError(layout: ModelLayout, actual: Float32Array, expected: Float64Array): number {
  // Biases that batch norm cancels are not compared: their gradient is 0 in the engine, and consists of rounding errors
  // in the reference.
  const arrays = layout.weights.filter(({ name }) => !name.endsWith('bias') || /projection|dense/.test(name));
  const errors = arrays.map((array) =>
    maxError(arrayOf(actual, array), expected.subarray(array.offset, array.offset + array.size)),
  );
  return Math.max(...errors);
}

const cases: { spec: Partial<ResnetOptions>; images: number; seed?: number }[] = [
  { spec: { initialFilters: 4 }, images: 1 },
  { spec: { initialFilters: 4, shortcut: 'projection', convBias: true }, images: 3 },
  { spec: { initialFilters: 12, convBias: true }, images: 2 },
  { spec: { initialFilters: 8, shortcut: 'projection' }, images: 5 },
  { spec: { depth: 14, initialFilters: 4 }, images: 9 },
  // With the weights of seed 1, the input of one ReLU is 1e-6, so rounding decides whether it is active.
  { spec: { initialFilters: 16 }, images: 2, seed: 2 },
];

describe.each(engines.flatMap((engine) => cases.map((each) => ({ engine, ...each }))))(
  '$engine.identity.engine, $spec, $images images',
  ({ engine, spec, images, seed }) => {
    const layout = resnetLayout(spec);
    const weights = randomWeights(layout, seed);
    const batch = randomBatch(images);

    test('the loss, gradient and statistics of a slice match the float64 reference', async () => {
      const model = await engine.createModel(layout, 'imagenet');
      model.setWeights(weights, randomMovingStatistics(layout));
      const actual = await model.computeSlice(batch);
      const expected = referenceOfBatch(layout, weights, batch);
      expect(actual.sampleCount).toBe(images);
      expect(actual.correctCount).toBe(expected.correctCount);
      expect(actual.lossSum / expected.lossSum).toBeCloseTo(1, 5);
      expect(maxError(actual.batchStatistics, expected.batchStatistics)).toBeLessThan(1e-5);
      expect(maxArrayError(layout, actual.gradientSum, expected.gradientSum)).toBeLessThan(2e-5);
      model.dispose();
    });

    test('the loss and gradient with label smoothing match the float64 reference', async () => {
      const model = await engine.createModel(layout, 'imagenet', 0.3);
      model.setWeights(weights, randomMovingStatistics(layout));
      const actual = await model.computeSlice(batch);
      const expected = referenceOfBatch(layout, weights, batch, { labelSmoothing: 0.3 });
      expect(actual.lossSum / expected.lossSum).toBeCloseTo(1, 5);
      expect(maxArrayError(layout, actual.gradientSum, expected.gradientSum)).toBeLessThan(2e-5);
      model.dispose();
    });

    test('the loss and logits of an evaluation match the float64 reference with the moving statistics', async () => {
      // Evaluation does not smooth labels, even if training does.
      const model = await engine.createModel(layout, 'imagenet', 0.3);
      const moving = randomMovingStatistics(layout);
      model.setWeights(weights, moving);
      const actual = await model.evaluate(batch);
      const expected = referenceOfBatch(layout, weights, batch, { movingStatistics: moving });
      expect(actual.correctCount).toBe(expected.correctCount);
      expect(actual.lossSum / expected.lossSum).toBeCloseTo(1, 5);
      expect(actual.logits.length).toBe(10 * images);
      expect(maxError(actual.logits, expected.logits)).toBeLessThan(2e-5);
      // The loss must have been computed from exactly these logits: rounding in float32 alone would cause a difference of
      // 1e-7.
      expect(actual.lossSum / crossEntropySum(actual.logits, batch)).toBeCloseTo(1, 12);
      model.dispose();
    });
  },
);

test.each(
  engines.flatMap((engine) => [perPixelMean(), standardize()].map((preprocessing) => ({ engine, preprocessing }))),
)(
  'the loss and gradient of $engine.identity.engine with $preprocessing.name preprocessing match the float64 reference',
  async ({ engine, preprocessing }) => {
    const layout = resnetLayout({ initialFilters: 4 });
    const weights = randomWeights(layout);
    const batch = randomBatch(3);
    const model = await engine.createModel(layout, preprocessing);
    model.setWeights(weights, randomMovingStatistics(layout));
    const actual = await model.computeSlice(batch);
    const expected = referenceOfBatch(layout, weights, batch, { preprocessing });
    expect(actual.lossSum / expected.lossSum).toBeCloseTo(1, 5);
    expect(maxError(actual.batchStatistics, expected.batchStatistics)).toBeLessThan(1e-5);
    expect(maxArrayError(layout, actual.gradientSum, expected.gradientSum)).toBeLessThan(2e-5);
    model.dispose();
  },
);

function crossEntropySum(logits: Float32Array, { records, indices }: ImageBatch): number {
  let sum = 0;
  for (const [image, index] of indices.entries()) {
    const row = logits.subarray(10 * image, 10 * image + 10);
    const total = row.reduce((total, logit) => total + Math.exp(logit), 0);
    sum += Math.log(total) - row[records[index * recordBytes]];
  }
  return sum;
}

// Training steps and evaluations of various networks, compared with float64 loops.
import { afterAll, describe, expect, test } from 'vitest';
import { recordFormat } from '../../../../shared/dataset/record-format.js';
import { arrayOf, layoutNetwork, type ModelLayout } from '../../../../shared/network/layout.js';
import type { EngineModel } from '../../../../worker/engine.js';
import { randomBatch, randomMovingStatistics, randomWeights } from '../../../support/random-batch.js';
import { referenceOfBatch } from '../../../support/reference-batch.js';
import { openAvailableWasmEngines } from '../../../support/wasm-engines.js';
import { maxError } from './samples.js';
import { smallNetworks, type SmallNetwork } from './small-networks.js';

const opened = await Promise.all([1, 2, 3].map((threads) => openAvailableWasmEngines(threads)));
afterAll(async () => {
  for (const engine of opened.flat()) await engine.close();
});

const imageCount = 9;
const labelSmoothing = 0.1;
const dropoutKey = { seed: 1, step: 2, slice: 3 };

/** Weights and images with which no input of a ReLU is so close to 0 that rounding decides whether it is active. */
function samplesOf(layout: ModelLayout) {
  return {
    batch: { ...randomBatch(imageCount, 5, recordFormat(layout.data)), dropoutKey },
    weights: randomWeights(layout, 3),
    moving: randomMovingStatistics(layout, 4),
  };
}

async function compute(model: EngineModel, { batch, weights, moving }: ReturnType<typeof samplesOf>) {
  model.setWeights(weights, moving);
  const { lossSum, correctCount, gradientSum, batchStatistics } = await model.computeSlice(batch);
  const slice = { lossSum, correctCount, gradientSum: gradientSum.slice(), batchStatistics: batchStatistics.slice() };
  const { logits } = await model.evaluate(batch);
  const again = await model.computeSlice(batch);
  expect(again.gradientSum).toEqual(slice.gradientSum);
  model.dispose();
  return { ...slice, logits };
}

/** Returns whether an array only adds constants that a later batch norm subtracts, so that its gradient is 0. */
function isCanceled(layout: ModelLayout, name: string, expected: Float64Array): boolean {
  return !name.endsWith('kernel') && expected.every((value) => Math.abs(value) < 1e-9 * layout.data.height ** 2);
}

describe.each(
  Object.keys(smallNetworks).flatMap((name) =>
    opened[0].map(({ identity }, index) => ({
      name: name as SmallNetwork,
      engine: identity.engine,
      withThreads: opened.map((each) => each[index]),
    })),
  ),
)('$name on $engine', ({ name, withThreads: [alone, ...threaded] }) => {
  const { graph, data } = smallNetworks[name];
  const layout = layoutNetwork(graph, data);
  const samples = samplesOf(layout);

  test('the results match the float64 reference', async () => {
    const actual = await compute(await alone.createModel(layout, 'imagenet', labelSmoothing), samples);
    const { batch, weights, moving } = samples;
    const expected = referenceOfBatch(layout, weights, batch, { labelSmoothing, dropoutKey });
    expect(actual.lossSum / expected.lossSum).toBeCloseTo(1, 5);
    expect(actual.correctCount).toBe(expected.correctCount);
    expect(maxError(actual.batchStatistics, expected.batchStatistics)).toBeLessThan(1e-5);
    const wrong = layout.weights.filter((array) => {
      const ofArray = expected.gradientSum.subarray(array.offset, array.offset + array.size);
      const error = maxError(arrayOf(actual.gradientSum, array), ofArray);
      return !isCanceled(layout, array.name, ofArray) && !(error < 2e-5);
    });
    expect(wrong.map(({ name }) => name)).toEqual([]);
    const evaluated = referenceOfBatch(layout, weights, batch, { movingStatistics: moving });
    expect(maxError(actual.logits, evaluated.logits)).toBeLessThan(2e-5);
  });

  test('the bits do not depend on the number of threads', async () => {
    const expected = await compute(await alone.createModel(layout, 'imagenet', labelSmoothing), samples);
    for (const engine of threaded) {
      const model = await engine.createModel(layout, 'imagenet', labelSmoothing);
      expect(await compute(model, samples)).toEqual(expected);
    }
  });
});

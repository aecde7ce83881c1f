// The wasm engine compared with the tensorflow engine, with the same model, weights and images.
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { arrayOf } from '../../../../shared/network/layout.js';
import type { Engine } from '../../../../worker/engine.js';
import { openWasmEngine } from '../../../../worker/engines/wasm/wasm-engine.js';
import { perPixelMean, standardize } from '../../../support/random-batch.js';
import { openTensorFlowOrReason } from '../../../support/tensorflow.js';
import { easyBatch, maxError, randomBatch, randomMovingStatistics, randomWeights } from './samples.js';
import { resnetLayout } from '../../../support/resnet-layout.js';

const opened = await openTensorFlowOrReason();
const tensorFlow = opened as Engine;
const wasm = await openWasmEngine({ threads: 1 });
afterAll(() => wasm.close());

/** Returns the distance between two vectors, relative to the length of the second one. */
function distance(actual: Float32Array, expected: Float32Array): number {
  const length = (vector: Float32Array) => Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  return length(actual.map((value, i) => value - expected[i])) / length(expected);
}

describe('compared with TensorFlow', () => {
  beforeEach((context) => {
    if (typeof opened === 'string') context.skip(opened);
  });

  test.each([
    { depth: 20, shortcut: 'identity' as const, labelSmoothing: 0, preprocessing: 'imagenet' as const },
    { depth: 20, shortcut: 'projection' as const, labelSmoothing: 0.1, preprocessing: perPixelMean() },
    { depth: 32, shortcut: 'identity' as const, labelSmoothing: 0, preprocessing: standardize() },
  ])(
    'loss, gradient, statistics and evaluation of ResNet-$depth agree: $shortcut shortcuts, label smoothing $labelSmoothing',
    async ({ labelSmoothing, preprocessing, ...spec }) => {
      const layout = resnetLayout({ ...spec, initialFilters: 16, convBias: true });
      const weights = randomWeights(layout);
      const moving = randomMovingStatistics(layout);
      const batch = randomBatch(16);
      const results = [];
      for (const engine of [wasm, tensorFlow]) {
        const model = await engine.createModel(layout, preprocessing, labelSmoothing);
        model.setWeights(weights, moving);
        const { lossSum, gradientSum, batchStatistics } = await model.computeSlice(batch);
        const slice = { lossSum, gradientSum: gradientSum.slice(), batchStatistics: batchStatistics.slice() };
        results.push({ ...slice, evaluated: (await model.evaluate(batch)).lossSum });
        model.dispose();
      }
      const [ours, theirs] = results as [(typeof results)[0], (typeof results)[0]];
      expect(Math.abs(ours.lossSum / theirs.lossSum - 1)).toBeLessThan(1e-5);
      expect(Math.abs(ours.evaluated / theirs.evaluated - 1)).toBeLessThan(1e-4);
      expect(maxError(ours.batchStatistics, theirs.batchStatistics)).toBeLessThan(1e-5);
      // A ReLU whose input is 0 up to rounding may be active in only one engine, which changes individual elements by
      // up to a few hundredths of the largest. For biases that batch norm cancels, the gradient is exactly 0 in the
      // wasm engine and consists of rounding errors in TensorFlow.
      const biases = layout.weights.filter(({ name }) => name.endsWith('bias') && !/projection|dense/.test(name));
      for (const bias of biases) for (const { gradientSum } of results) arrayOf(gradientSum, bias).fill(0);
      expect(distance(ours.gradientSum, theirs.gradientSum)).toBeLessThan(1e-2);
    },
  );

  test.each([20, 32])('the gradient of ResNet-%i with all ReLUs active agrees to float32 accuracy', async (depth) => {
    const layout = resnetLayout({ depth, initialFilters: 16 });
    const weights = randomWeights(layout);
    // After a shift by several standard deviations, the inputs of all ReLUs are positive, so rounding cannot switch any
    // ReLU.
    for (const { name, offset, size } of layout.weights) {
      if (name.endsWith('gamma')) weights.fill(0.3, offset, offset + size);
      if (name.endsWith('beta')) weights.fill(3, offset, offset + size);
    }
    const gradients = [];
    for (const engine of [wasm, tensorFlow]) {
      const model = await engine.createModel(layout, 'imagenet');
      model.setWeights(weights, randomMovingStatistics(layout));
      gradients.push((await model.computeSlice(randomBatch(16))).gradientSum.slice());
      model.dispose();
    }
    const [ours, theirs] = gradients as [Float32Array, Float32Array];
    expect(distance(ours, theirs)).toBeLessThan(1e-5);
  });

  test('the losses of 50 steps stay close', async () => {
    const layout = resnetLayout({ initialFilters: 8 });
    const losses: number[][] = [];
    for (const engine of [wasm, tensorFlow]) {
      const model = await engine.createModel(layout, 'imagenet');
      const weights = randomWeights(layout);
      const engineLosses: number[] = [];
      for (let step = 0; step < 50; step++) {
        model.setWeights(weights, randomMovingStatistics(layout));
        const { lossSum, gradientSum, sampleCount } = await model.computeSlice(easyBatch(20));
        engineLosses.push(lossSum / sampleCount);
        for (let i = 0; i < weights.length; i++) weights[i] -= (0.01 * gradientSum[i]) / sampleCount;
      }
      losses.push(engineLosses);
      model.dispose();
    }
    const [ours, theirs] = losses as [number[], number[]];
    expect(ours.at(-1)).toBeLessThan(0.5 * ours[0]);
    for (const [step, loss] of ours.entries()) expect(Math.abs(loss - theirs[step])).toBeLessThan(1e-2);
  });
});

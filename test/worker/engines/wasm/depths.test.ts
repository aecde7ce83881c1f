// The paper's networks, as configured by `--recipe paper --depth D`: one step on the engine and one update for each
// depth.
import { afterAll, expect, test } from 'vitest';
import { initialMovingStatistics, initialWeights } from '../../../../coordinator/optimizer/initial-weights.js';
import { learningRateAt } from '../../../../shared/optimizer/learning-rate.js';
import { MomentumSgd } from '../../../../coordinator/optimizer/momentum-sgd.js';
import { resolveConfig, totalStepsOf } from '../../../../shared/config/config.js';
import { arrayOf } from '../../../../shared/network/layout.js';
import { openWasmEngine } from '../../../../worker/engines/wasm/wasm-engine.js';
import { perPixelMean, randomBatch } from '../../../support/random-batch.js';
import { resnetLayout } from '../../../support/resnet-layout.js';

const engine = await openWasmEngine({ threads: 1 });
afterAll(() => engine.close());

test.each([20, 32, 44, 56, 110])('one step of the paper’s ResNet-%i changes every one of its arrays', async (depth) => {
  const config = resolveConfig({ recipe: 'paper', depth });
  expect(totalStepsOf(config, 351)).toBe(64_000);
  const layout = resnetLayout(config);
  const model = await engine.createModel(layout, perPixelMean());
  const weights = initialWeights(layout, 0);
  model.setWeights(weights, initialMovingStatistics(layout));
  const { gradientSum, lossSum, sampleCount } = await model.computeSlice(randomBatch(2, 0));
  expect(lossSum).toBeGreaterThan(0);
  expect(lossSum).toBeLessThan(100);
  const optimizer = new MomentumSgd(layout, config, weights);
  const rate = learningRateAt(0, config, { totalSteps: 64_000, stepsPerEpoch: 351 });
  expect(optimizer.step(gradientSum, sampleCount, rate)).toBe('made');
  expect(optimizer.weights.every(Number.isFinite)).toBe(true);
  const unchanged = layout.weights.filter((array) => {
    const [now, then] = [arrayOf(optimizer.weights, array), arrayOf(weights, array)];
    return now.every((value, i) => value === then[i]);
  });
  expect(unchanged).toEqual([]);
  model.dispose();
});

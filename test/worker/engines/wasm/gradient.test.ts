// The engines' gradient compared with finite differences: the slope of the float64 loss along a direction must equal
// the dot product of the gradient and that direction.
import { afterAll, describe, expect, test } from 'vitest';
import { openAvailableWasmEngines } from '../../../support/wasm-engines.js';
import { ReferenceModel } from './reference-model.js';
import { layoutOf, randomBatch, randomMovingStatistics, randomValues, randomWeights } from './samples.js';

const engines = await openAvailableWasmEngines();
afterAll(() => Promise.all(engines.map((engine) => engine.close())));

const specs = [
  { shortcut: 'identity' as const, convBias: false },
  { shortcut: 'projection' as const, convBias: true },
];

describe.each(engines.flatMap((engine) => specs.map((spec) => ({ engine, spec }))))(
  'a tiny model with $spec.shortcut shortcuts on $engine.identity.engine',
  ({ engine, spec }) => {
    test('the gradient matches the slope of the loss, array by array', async () => {
      const layout = layoutOf(spec);
      const weights = randomWeights(layout);
      const batch = randomBatch(2);
      const model = await engine.createModel(layout, 'imagenet');
      model.setWeights(weights, randomMovingStatistics(layout));
      const { gradientSum } = await model.computeSlice(batch);
      const lossAt = (moved: Float64Array) => new ReferenceModel(layout, moved).loss(batch);
      const step = 1e-6;
      const chosen = layout.weights.filter(({ name }) => /stem|group[23].block1|dense/.test(name));
      for (const [index, { offset, size }] of chosen.entries()) {
        const direction = randomValues(size, 10 + index);
        const moved = (by: number) => {
          const result = Float64Array.from(weights);
          for (let i = 0; i < size; i++) result[offset + i] += by * direction[i];
          return result;
        };
        const slope = (lossAt(moved(step)) - lossAt(moved(-step))) / (2 * step);
        const product = direction.reduce((sum, value, i) => sum + value * gradientSum[offset + i], 0);
        const length = Math.hypot(...gradientSum.subarray(offset, offset + size));
        // The slope along a bias that batch norm cancels is 0, so there is also an absolute tolerance.
        expect(Math.abs(product - slope)).toBeLessThan(1e-4 * length * Math.sqrt(size) + 1e-6);
      }
      model.dispose();
    });
  },
);

// The reference compared with itself: its gradient must equal the slope of its loss.
import { describe, expect, it } from 'vitest';
import { parseGraph } from '../../shared/network/graph-schema.js';
import { layoutNetwork } from '../../shared/network/layout.js';
import { KeyedRandom } from '../../shared/random.js';
import { randomWeights } from './random-batch.js';
import { everyOperation } from './sample-graphs.js';
import { errorFunction } from './reference-operations.js';
import { referenceStep } from './reference-network.js';

const data = { height: 9, width: 9, channels: 3, classCount: 5 } as const;
const layout = layoutNetwork(parseGraph(everyOperation, 'a graph with every operation'), data);
const random = new KeyedRandom(1, 'synthesis');
const images = Float64Array.from({ length: 2 * 9 * 9 * 3 }, (_, i) => 2 * random.uniformAt(i) - 1);
const labels = [1, 4];
const weights = Float64Array.from(randomWeights(layout, 3));

describe('the reference', () => {
  it('has a gradient equal to the slope of its loss, array by array', () => {
    const options = { labelSmoothing: 0.1, dropoutKey: { seed: 1, step: 2, slice: 3 } };
    const { gradientSum } = referenceStep(layout, weights, images, labels, options);
    const step = 1e-5;
    for (const [index, { offset, size, trainable }] of layout.weights.entries()) {
      const direction = new KeyedRandom(5, 'synthesis', index);
      const along = Float64Array.from({ length: size }, (_, i) => 2 * direction.uniformAt(i) - 1);
      const lossAt = (by: number) => {
        const moved = weights.slice();
        along.forEach((value, i) => (moved[offset + i] += by * value));
        return referenceStep(layout, moved, images, labels, options).lossSum;
      };
      const slope = (lossAt(step) - lossAt(-step)) / (2 * step);
      const product = along.reduce((sum, value, i) => sum + value * gradientSum[offset + i], 0);
      // A frozen array has a slope but no gradient.
      expect(Math.abs(product - (trainable ? slope : 0))).toBeLessThan(1e-5 * (1 + Math.abs(product)));
    }
  });

  // Values of the error function from Abramowitz and Stegun, table 7.1.
  it.each([
    [0.5, 0.5204998778],
    [1, 0.8427007929],
    [2, 0.995322265],
    [3, 0.9999779095],
  ])('computes erf(%d)', (x, value) => {
    expect(errorFunction(x)).toBeCloseTo(value, 10);
    expect(errorFunction(-x)).toBeCloseTo(-value, 10);
  });
});

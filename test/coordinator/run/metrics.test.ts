import { expect, it } from 'vitest';
import { metricsOf } from '../../../coordinator/run/metrics.js';

it('metrics are divided once, so that each shard is weighted by its number of images', () => {
  // Loss: (253 + 3) / (250 + 6) = 1, whereas the mean of the shards' means is (253 / 250 + 3 / 6) / 2 = 0.756.
  // Accuracy: (125 + 3) / (250 + 6) = 0.5.
  const shards = [
    { sampleCount: 250, lossSum: 253, correctCount: 125 },
    { sampleCount: 6, lossSum: 3, correctCount: 3 },
  ];
  expect(metricsOf(shards)).toEqual({ loss: 1, accuracy: 0.5 });
});

it('metrics are added up in the order given, in float64', () => {
  // In float64, (0.1 + 0.2) + 0.3 = 0.6000000000000001, but (0.3 + 0.2) + 0.1 = 0.6.
  const shards = [0.1, 0.2, 0.3].map((lossSum) => ({ sampleCount: 1, lossSum, correctCount: 0 }));
  expect(metricsOf(shards).loss).toBe(0.6000000000000001 / 3);
  expect(metricsOf(shards.toReversed()).loss).toBe(0.6 / 3);
});

import { expect, it } from 'vitest';
import { metricsOf } from '../../../coordinator/run/metrics.js';

it('metrics are divided once, so that shards of different sizes count by their images', () => {
  // Loss (250 + 6) / (250 + 6 images) = 1, where the mean of the shards' means would be (1 + 1) / 2; accuracy 128 / 256.
  const shards = [
    { sampleCount: 250, lossSum: 253, correctCount: 125 },
    { sampleCount: 6, lossSum: 3, correctCount: 3 },
  ];
  expect(metricsOf(shards)).toEqual({ loss: 1, accuracy: 0.5 });
});

it('metrics are added up in the order given, in float64', () => {
  // (0.1 + 0.2) + 0.3 = 0.6000000000000001; 0.1 + (0.2 + 0.3) = 0.6.
  const shards = [0.1, 0.2, 0.3].map((lossSum) => ({ sampleCount: 1, lossSum, correctCount: 0 }));
  expect(metricsOf(shards).loss).toBe(0.6000000000000001 / 3);
  expect(metricsOf(shards.toReversed()).loss).toBe(0.6 / 3);
});

// For ResNets on CPUs, graph mode (one TensorFlow call per slice) gives the same bits as eager mode (one call per
// operation), which proves that recording changes nothing. networks.test.ts compares the modes on other networks, where
// TensorFlow's optimization of graphs changes the last bits.
import { beforeEach, describe, expect, it } from 'vitest';
import { openTensorFlowEngine } from '../../../../worker/engines/tensorflow/tensorflow-engine.js';
import { loadTensorFlow } from '../../../../worker/engines/tensorflow/load.js';
import { randomBatch, randomMovingStatistics, randomWeights } from '../../../support/random-batch.js';
import { openTensorFlowOrReason } from '../../../support/tensorflow.js';
import { resnetLayout } from '../../../support/resnet-layout.js';

const opened = await openTensorFlowOrReason();

describe('graph mode on CPUs', () => {
  beforeEach((context) => {
    if (typeof opened === 'string') context.skip(opened);
    if (loadTensorFlow(1).backend.isUsingGpuDevice) context.skip('GPUs compute graphs with different tensor layouts');
  });

  describe.each([20, 32])('ResNet-%i', (depth) => {
    it.each(['identity', 'projection'] as const)(
      'has the bits of eager mode with %s shortcuts, for slices of 1, 7 and 32 images',
      async (shortcut) => {
        const layout = resnetLayout({ depth, initialFilters: 16, shortcut, convBias: true });
        const weights = randomWeights(layout, 1);
        const movingStatistics = randomMovingStatistics(layout, 2);
        const resultsOf = async (tensorFlowMode: 'graph' | 'eager') => {
          const engine = await openTensorFlowEngine({ threads: 1, tensorFlowMode });
          const model = await engine.createModel(layout, 'imagenet');
          model.setWeights(weights, movingStatistics);
          const results = [];
          for (const count of [1, 7, 32]) {
            const batch = randomBatch(count, count);
            const { lossSum, correctCount, gradientSum, batchStatistics } = await model.computeSlice(batch);
            const evaluation = await model.evaluate(batch);
            results.push({
              lossSum,
              correctCount,
              gradientSum: Buffer.from(gradientSum.slice().buffer),
              batchStatistics: Buffer.from(batchStatistics.slice().buffer),
              evaluation: [evaluation.lossSum, evaluation.correctCount],
            });
          }
          model.dispose();
          return { results, fingerprint: engine.identity.fingerprint };
        };
        const graph = await resultsOf('graph');
        const eager = await resultsOf('eager');
        for (const [index, { gradientSum, batchStatistics, ...numbers }] of graph.results.entries()) {
          const {
            gradientSum: eagerGradient,
            batchStatistics: eagerStatistics,
            ...eagerNumbers
          } = eager.results[index];
          expect(numbers).toEqual(eagerNumbers);
          expect(gradientSum.equals(eagerGradient)).toBe(true);
          expect(batchStatistics.equals(eagerStatistics)).toBe(true);
        }
        expect(eager.fingerprint).toMatch(/, eager\b/);
        expect(graph.fingerprint).toBe(eager.fingerprint.replace(', eager', ''));
      },
    );
  });
});

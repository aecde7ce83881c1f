// Compares the tensorflow engine with a float64 reference, and its results with one another.
import { beforeEach, describe, expect, it } from 'vitest';
import { arrayOf, type ModelLayout } from '../../../../shared/network/layout.js';
import type { Engine, EngineModel } from '../../../../worker/engine.js';
import { loadTensorFlow } from '../../../../worker/engines/tensorflow/load.js';
import { referenceOfBatch } from '../../../support/reference-batch.js';
import { randomBatch, randomMovingStatistics, randomWeights } from '../../../support/random-batch.js';
import { openTensorFlowOrReason } from '../../../support/tensorflow.js';
import { resnetLayout } from '../../../support/resnet-layout.js';

const opened = await openTensorFlowOrReason();

function tensorFlow(): Engine {
  if (typeof opened === 'string') throw new Error(opened);
  return opened;
}

async function tinyModel(layout: ModelLayout): Promise<EngineModel> {
  const model = await tensorFlow().createModel(layout, 'imagenet');
  model.setWeights(randomWeights(layout, 1), randomMovingStatistics(layout, 2));
  return model;
}

/** Returns the largest difference, relative to the largest expected value. */
function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let difference = 0;
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    difference = Math.max(difference, Math.abs(actual[i] - expected[i]));
    largest = Math.max(largest, Math.abs(expected[i]));
  }
  return difference / largest;
}

describe('the tensorflow engine', () => {
  beforeEach((context) => {
    if (typeof opened === 'string') context.skip(opened);
  });

  describe.each([
    { shortcut: 'identity', convBias: true },
    { shortcut: 'identity', convBias: false },
    { shortcut: 'projection', convBias: true },
    { shortcut: 'projection', convBias: false },
  ] as const)('with $shortcut shortcuts and convolution biases: $convBias', (change) => {
    const layout = resnetLayout(change);
    const batch = randomBatch(3, 5);
    const weights = randomWeights(layout, 1);

    it('computes the loss and the batch statistics', async () => {
      const model = await tinyModel(layout);
      const result = await model.computeSlice(batch);
      const expected = referenceOfBatch(layout, weights, batch);
      expect(result.sampleCount).toBe(3);
      // float32 has 7 digits; 8 layers and sums over thousands of values lose one or two of them.
      expect(relativeError([result.lossSum], [expected.lossSum])).toBeLessThan(1e-5);
      expect(result.correctCount).toBe(expected.correctCount);
      const wrong = layout.statistics.filter((array) => {
        const own = expected.batchStatistics.subarray(array.offset, array.offset + array.size);
        return !(relativeError(arrayOf(result.batchStatistics, array), own) < 1e-5);
      });
      expect(wrong.map(({ name }) => name)).toEqual([]);
      model.dispose();
    });

    it('computes the gradient', async () => {
      const model = await tinyModel(layout);
      const { gradientSum } = await model.computeSlice(batch);
      const expected = referenceOfBatch(layout, weights, batch).gradientSum;
      const scale = Math.hypot(...expected);
      // The gradients of biases that batch norm cancels consist of rounding errors, so differences are divided by the
      // length of the whole gradient.
      const wrong = layout.weights.filter((array) => {
        const own = expected.subarray(array.offset, array.offset + array.size);
        return !(Math.hypot(...arrayOf(gradientSum, array).map((value, i) => value - own[i])) / scale < 1e-6);
      });
      expect(wrong.map(({ name }) => name)).toEqual([]);
      model.dispose();
    });

    it('evaluates with the moving statistics', async () => {
      const model = await tinyModel(layout);
      const result = await model.evaluate(batch);
      const movingStatistics = randomMovingStatistics(layout, 2);
      const expected = referenceOfBatch(layout, weights, batch, { movingStatistics });
      expect(result.sampleCount).toBe(3);
      expect(relativeError([result.lossSum], [expected.lossSum])).toBeLessThan(1e-5);
      expect(result.correctCount).toBe(expected.correctCount);
      expect(relativeError(result.logits, expected.logits)).toBeLessThan(1e-5);
      model.dispose();
    });
  });

  it.each([1, 7, 32])('accepts a slice of %i images', async (count) => {
    const layout = resnetLayout({ convBias: true });
    const model = await tinyModel(layout);
    const batch = randomBatch(count, 11);
    const result = await model.computeSlice(batch);
    const expected = referenceOfBatch(layout, randomWeights(layout, 1), batch);
    expect(result.sampleCount).toBe(count);
    expect(relativeError([result.lossSum], [expected.lossSum])).toBeLessThan(1e-5);
    expect(result.gradientSum.length).toBe(layout.weightsSize);
    expect(result.batchStatistics.length).toBe(layout.statisticsSize);
    expect((await model.evaluate(batch)).sampleCount).toBe(count);
    model.dispose();
  });

  it('computes the same bits for a prepared batch', async () => {
    const model = await tinyModel(resnetLayout({ convBias: true }));
    const straight = await model.computeSlice(randomBatch(8, 3));
    const gradient = Buffer.from(straight.gradientSum.slice().buffer);
    const batch = randomBatch(8, 3);
    model.prepare!(batch);
    model.prepare!(randomBatch(8, 4)); // prepared, but never computed
    for (let time = 0; time < 2; time++) {
      const { lossSum, gradientSum } = await model.computeSlice(batch);
      expect(lossSum).toBe(straight.lossSum);
      expect(Buffer.from(gradientSum.slice().buffer).equals(gradient)).toBe(true);
    }
    model.dispose();
  });

  it('computes the same bits again after a slice of another size', async () => {
    const model = await tinyModel(resnetLayout({ convBias: true }));
    const first = await model.computeSlice(randomBatch(8, 3));
    const gradient = first.gradientSum.slice();
    const statistics = first.batchStatistics.slice();
    await model.computeSlice(randomBatch(5, 4));
    const again = await model.computeSlice(randomBatch(8, 3));
    expect(again.lossSum).toBe(first.lossSum);
    expect(Buffer.from(again.gradientSum.buffer).equals(Buffer.from(gradient.buffer))).toBe(true);
    expect(Buffer.from(again.batchStatistics.buffer).equals(Buffer.from(statistics.buffer))).toBe(true);
    model.dispose();
  });

  it('copies its weights', async () => {
    const layout = resnetLayout({ convBias: true });
    const model = await tinyModel(layout);
    const batch = randomBatch(2, 3);
    const before = await model.computeSlice(batch);
    const weights = randomWeights(layout, 1);
    const moving = randomMovingStatistics(layout, 2);
    model.setWeights(weights, moving);
    weights.fill(0);
    moving.fill(0);
    expect((await model.computeSlice(batch)).lossSum).toBe(before.lossSum);
    model.dispose();
  });

  it('does not compute without weights', async () => {
    const model = await tensorFlow().createModel(resnetLayout({ convBias: true }), 'imagenet');
    await expect(model.computeSlice(randomBatch(1, 0))).rejects.toMatchObject({ code: 'engine-failed' });
  });

  it('leaks no tensors over 20 steps and has none left after it is disposed of', async () => {
    const { tf } = loadTensorFlow(1);
    const tensorsAtFirst = tf.memory().numTensors;
    const layout = resnetLayout({ shortcut: 'projection', convBias: true });
    const model = await tinyModel(layout);
    const tensorsBetweenCalls = tf.memory().numTensors;
    for (let step = 0; step < 20; step++) {
      model.setWeights(randomWeights(layout, step), randomMovingStatistics(layout, step));
      await model.computeSlice(randomBatch(4, step));
      await model.evaluate(randomBatch(3, step));
      expect(tf.memory().numTensors).toBe(tensorsBetweenCalls);
    }
    model.dispose();
    expect(tf.memory().numTensors).toBe(tensorsAtFirst);
  });

  it('has a fingerprint that covers everything its bits depend on', () => {
    const { engine, fingerprint, device } = tensorFlow().identity;
    expect(engine).toBe('tensorflow');
    expect(fingerprint).toMatch(/^tfjs-node(-gpu)? 4\.22\.0, TensorFlow \d+\.\d+\.\d+, .+/);
    const onGpu = loadTensorFlow(1).backend.isUsingGpuDevice;
    expect(onGpu || fingerprint.includes(', 1 thread')).toBe(true);
    expect(onGpu ? fingerprint.includes(device) : device.endsWith(', 1 thread')).toBe(true);
  });

  it('rejects a different number of threads in the same process', () => {
    expect(() => loadTensorFlow(2)).toThrow(/TensorFlow already uses 1 in this process/);
  });
});

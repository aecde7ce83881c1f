// Compares the tensorflow engine with a float64 reference, and its results with one another.
import { beforeEach, describe, expect, it } from 'vitest';
import { cifar10Format } from '../../../../shared/dataset/cifar10-layout.js';
import type { ImageBatch } from '../../../../shared/dataset/image-batch.js';
import { arrayOf, layoutModel, type ModelLayout, type ModelSpec } from '../../../../shared/network/layout.js';
import { KeyedRandom } from '../../../../shared/random.js';
import { fillInput, labelsOf } from '../../../../worker/augmentation.js';
import type { Engine, EngineModel } from '../../../../worker/engine.js';
import { loadTensorFlow } from '../../../../worker/engines/tensorflow/load.js';
import { naiveForward } from '../../../support/naive-resnet.js';
import { randomBatch, randomMovingStatistics, randomWeights } from '../../../support/random-batch.js';
import { openTensorFlowOrReason } from '../../../support/tensorflow.js';

const { imageValues: valuesPerImage } = cifar10Format;

const opened = await openTensorFlowOrReason();

function tensorFlow(): Engine {
  if (typeof opened === 'string') throw new Error(opened);
  return opened;
}

function tinyLayout(change: Partial<ModelSpec> = {}): ModelLayout {
  return layoutModel(
    {
      depth: 8,
      initialFilters: 4,
      shortcut: 'identity',
      convBias: true,
      bnEpsilon: 0.001,
      ...change,
    },
    cifar10Format,
  );
}

async function tinyModel(layout: ModelLayout): Promise<EngineModel> {
  const model = await tensorFlow().createModel(layout, 'imagenet');
  model.setWeights(randomWeights(layout, 1), randomMovingStatistics(layout, 2));
  return model;
}

function inputOf(batch: ImageBatch): Float32Array {
  const input = new Float32Array(batch.indices.length * valuesPerImage);
  fillInput(batch, 'imagenet', input);
  return input;
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
    const layout = tinyLayout(change);
    const batch = randomBatch(3, 5);
    const labels = labelsOf(batch);
    const weights = randomWeights(layout, 1);

    it('computes the loss and the batch statistics', async () => {
      const model = await tinyModel(layout);
      const result = await model.computeSlice(batch);
      const expected = naiveForward(layout, weights, null, inputOf(batch), labels);
      expect(result.sampleCount).toBe(3);
      // float32 has 7 digits; 8 layers and sums over thousands of values lose one or two of them.
      expect(relativeError([result.lossSum], [expected.lossSum])).toBeLessThan(1e-5);
      expect(result.correctCount).toBe(expected.correctCount);
      const wrong = layout.statistics.filter((array) => {
        const naive = expected.batchStatistics.subarray(array.offset, array.offset + array.size);
        return !(relativeError(arrayOf(result.batchStatistics, array), naive) < 1e-5);
      });
      expect(wrong.map(({ name }) => name)).toEqual([]);
      model.dispose();
    });

    it('computes a gradient that matches finite differences', async () => {
      const model = await tinyModel(layout);
      const { gradientSum } = await model.computeSlice(batch);
      const input = inputOf(batch);
      const scale = Math.sqrt(gradientSum.reduce((sum, value) => sum + value * value, 0));
      // Each array is tested separately, along a random direction of ±1, so that larger gradients of other arrays
      // cannot hide an error.
      const wrong = layout.weights.filter((array, index) => {
        const random = new KeyedRandom(7, 'synthesis', index);
        const direction = Float64Array.from({ length: array.size }, (_, i) => random.integerAt(i, 2) * 2 - 1);
        const lossAt = (step: number) => {
          const moved = Float64Array.from(weights);
          for (let i = 0; i < array.size; i++) moved[array.offset + i] += step * direction[i];
          return naiveForward(layout, moved, null, input, labels).lossSum;
        };
        // The step is so short that it rarely switches a ReLU, and the difference of the float64 losses still has 8
        // significant digits. The remaining error is due to the engine's float32: 7 digits, minus one or two for sums
        // over thousands of values. The measured error is at most 1.3e-6.
        const step = 1e-7;
        const expected = (lossAt(step) - lossAt(-step)) / (2 * step);
        const actual = direction.reduce((sum, sign, i) => sum + sign * gradientSum[array.offset + i], 0);
        return !(Math.abs(actual - expected) / scale < 1e-5);
      });
      expect(wrong.map(({ name }) => name)).toEqual([]);
      model.dispose();
    });

    it('evaluates with the moving statistics', async () => {
      const model = await tinyModel(layout);
      const result = await model.evaluate(batch);
      const moving = randomMovingStatistics(layout, 2);
      const expected = naiveForward(layout, weights, moving, inputOf(batch), labels);
      expect(result.sampleCount).toBe(3);
      expect(relativeError([result.lossSum], [expected.lossSum])).toBeLessThan(1e-5);
      expect(result.correctCount).toBe(expected.correctCount);
      expect(relativeError(result.logits, expected.logits)).toBeLessThan(1e-5);
      model.dispose();
    });
  });

  it.each([1, 7, 32])('accepts a slice of %i images', async (count) => {
    const layout = tinyLayout();
    const model = await tinyModel(layout);
    const batch = randomBatch(count, 11);
    const result = await model.computeSlice(batch);
    const expected = naiveForward(layout, randomWeights(layout, 1), null, inputOf(batch), labelsOf(batch));
    expect(result.sampleCount).toBe(count);
    expect(relativeError([result.lossSum], [expected.lossSum])).toBeLessThan(1e-5);
    expect(result.gradientSum.length).toBe(layout.weightsSize);
    expect(result.batchStatistics.length).toBe(layout.statisticsSize);
    expect((await model.evaluate(batch)).sampleCount).toBe(count);
    model.dispose();
  });

  it('computes the same bits for a prepared batch', async () => {
    const model = await tinyModel(tinyLayout());
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
    const model = await tinyModel(tinyLayout());
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
    const layout = tinyLayout();
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
    const model = await tensorFlow().createModel(tinyLayout(), 'imagenet');
    await expect(model.computeSlice(randomBatch(1, 0))).rejects.toMatchObject({ code: 'engine-failed' });
  });

  it('leaks no tensors over 20 steps and has none left after it is disposed of', async () => {
    const { tf } = loadTensorFlow(1);
    const tensorsAtFirst = tf.memory().numTensors;
    const layout = tinyLayout({ shortcut: 'projection' });
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

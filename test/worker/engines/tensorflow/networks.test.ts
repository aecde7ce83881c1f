// Networks of all kinds on the tensorflow engine: compared with the float64 reference, and graph mode with eager mode.
import type { Rank, Scalar, Tensor, Tensor4D } from '@tensorflow/tfjs-core';
import { beforeEach, describe, expect, it } from 'vitest';
import type { ImageBatch } from '../../../../shared/dataset/image-batch.js';
import { recordFormat } from '../../../../shared/dataset/record-format.js';
import { arrayOf, type ArrayLayout, type ModelLayout } from '../../../../shared/network/layout.js';
import type { EngineModel, Precision } from '../../../../worker/engine.js';
import { loadTensorFlow } from '../../../../worker/engines/tensorflow/load.js';
import { convolve } from '../../../../worker/engines/tensorflow/network/convolution.js';
import { openTensorFlowEngine } from '../../../../worker/engines/tensorflow/tensorflow-engine.js';
import { randomBatch, randomMovingStatistics, randomWeights } from '../../../support/random-batch.js';
import { referenceOfBatch } from '../../../support/reference-batch.js';
import type { ReferenceResult } from '../../../support/reference-network.js';
import { openTensorFlowOrReason } from '../../../support/tensorflow.js';
import { chain, networks, operations } from './sample-networks.js';

const opened = await openTensorFlowOrReason();
const labelSmoothing = 0.1;
const dropoutKey = { seed: 3, step: 5, slice: 1 };

async function modelOf(
  layout: ModelLayout,
  tensorFlowMode: 'graph' | 'eager' = 'graph',
  precision: Precision = 'float32',
): Promise<EngineModel> {
  const engine = await openTensorFlowEngine({ threads: 1, tensorFlowMode, precision });
  const model = await engine.createModel(layout, 'imagenet', labelSmoothing);
  model.setWeights(randomWeights(layout, 1), randomMovingStatistics(layout, 2));
  return model;
}

function batchFor({ data }: ModelLayout, count: number): ImageBatch {
  return { ...randomBatch(count, 7, recordFormat(data)), dropoutKey };
}

function referenceOf(layout: ModelLayout, batch: ImageBatch): { slice: ReferenceResult; evaluation: ReferenceResult } {
  const weights = randomWeights(layout, 1);
  const movingStatistics = randomMovingStatistics(layout, 2);
  return {
    slice: referenceOfBatch(layout, weights, batch, { labelSmoothing, dropoutKey }),
    evaluation: referenceOfBatch(layout, weights, batch, { movingStatistics }),
  };
}

function largest(values: ArrayLike<number>): number {
  return Array.from(values).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}

function largestDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  return largest(Array.from(expected).map((value, i) => value - actual[i]));
}

function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  return largestDifference(actual, expected) / largest(expected);
}

/**
 * Lists the arrays whose values differ by more than rounding, with the relative difference. Arrays whose exact values
 * are 0, because batch norm cancels their effect, consist of rounding errors, so differences are not divided by less
 * than a tenth of the largest value of all arrays.
 */
function wrongArrays(arrays: readonly ArrayLayout[], actual: Float32Array, expected: Float64Array): string[] {
  const floor = largest(expected) / 10;
  return arrays.flatMap((array) => {
    const own = expected.subarray(array.offset, array.offset + array.size);
    const error = largestDifference(arrayOf(actual, array), own) / Math.max(largest(own), floor);
    return error < 1e-5 ? [] : [`${array.name}: ${error}`];
  });
}

const cases = Object.entries({ ...operations, ...networks });

describe('the tensorflow engine', () => {
  beforeEach((context) => {
    if (typeof opened === 'string') context.skip(opened);
  });

  it.each(cases)('agrees with the reference: %s', async (_, layout) => {
    const model = await modelOf(layout);
    const batch = batchFor(layout, 3);
    const expected = referenceOf(layout, batch);
    const slice = await model.computeSlice(batch);
    expect(relativeError([slice.lossSum], [expected.slice.lossSum])).toBeLessThan(1e-5);
    expect(slice.correctCount).toBe(expected.slice.correctCount);
    expect(wrongArrays(layout.statistics, slice.batchStatistics, expected.slice.batchStatistics)).toEqual([]);
    expect(wrongArrays(layout.weights, slice.gradientSum, expected.slice.gradientSum)).toEqual([]);
    const evaluation = await model.evaluate(batch);
    expect(relativeError([evaluation.lossSum], [expected.evaluation.lossSum])).toBeLessThan(1e-5);
    expect(evaluation.correctCount).toBe(expected.evaluation.correctCount);
    expect(relativeError(evaluation.logits, expected.evaluation.logits)).toBeLessThan(1e-5);
    model.dispose();
  });

  // TensorFlow's optimization of graphs fuses operations and reorders sums, but recording must not change anything.
  it.each(cases)('computes the same in graph mode as in eager mode, up to rounding: %s', async (_, layout) => {
    const [graph, eager] = [await modelOf(layout, 'graph'), await modelOf(layout, 'eager')];
    for (const batch of [batchFor(layout, 1), batchFor(layout, 8)]) {
      const [ours, theirs] = [await graph.computeSlice(batch), await eager.computeSlice(batch)];
      expect(relativeError([ours.lossSum], [theirs.lossSum])).toBeLessThan(1e-6);
      expect(relativeError(ours.gradientSum, theirs.gradientSum)).toBeLessThan(2e-6);
      expect(ours.batchStatistics).toEqual(theirs.batchStatistics);
      const [evaluation, eagerEvaluation] = [await graph.evaluate(batch), await eager.evaluate(batch)];
      expect(relativeError(evaluation.logits, eagerEvaluation.logits)).toBeLessThan(2e-6);
    }
    graph.dispose();
    eager.dispose();
  });

  it.each(['bfloat16', 'float16'] as const)('runs every operation in %s', async (precision) => {
    const layout = operations['every operation'];
    const batch = batchFor(layout, 8);
    const [exact, rounded] = [await modelOf(layout), await modelOf(layout, 'graph', precision)];
    const [expected, actual] = [await exact.computeSlice(batch), await rounded.computeSlice(batch)];
    // bfloat16 has 8 significant bits and float16 has 11.
    const unit = precision === 'bfloat16' ? 2 ** -8 : 2 ** -11;
    expect(relativeError([actual.lossSum], [expected.lossSum])).toBeLessThan(10 * unit);
    const error = relativeError(actual.gradientSum, expected.gradientSum);
    expect(error).toBeGreaterThan(unit / 10); // proves that the computation uses a different type
    expect(error).toBeLessThan(50 * unit);
    exact.dispose();
    rounded.dispose();
  });

  it('computes the gradients of frozen arrays as zeros', async () => {
    const layout = operations['frozen arrays'];
    const model = await modelOf(layout);
    const { gradientSum } = await model.computeSlice(batchFor(layout, 3));
    const zeros = layout.weights.filter((array) => arrayOf(gradientSum, array).every((value) => value === 0));
    // Batch norm cancels the biases of both convolutions, one of which is not frozen.
    expect(zeros.map(({ name }) => name)).toEqual([
      'node0/kernel',
      'node0/bias',
      'node1/gamma',
      'node1/beta',
      'node2/bias',
      'node3/beta',
      'node5/bias',
    ]);
    model.dispose();
  });

  it('chooses other masks of dropout for another slice, none without a key, and none in an evaluation', async () => {
    const model = await modelOf(operations.dropout);
    const batch = batchFor(operations.dropout, 4);
    const lossWith = async (key: ImageBatch['dropoutKey']) =>
      (await model.computeSlice({ ...batch, dropoutKey: key })).lossSum;
    const losses = [await lossWith(dropoutKey), await lossWith({ ...dropoutKey, slice: 2 }), await lossWith(undefined)];
    expect(new Set(losses).size).toBe(3);
    expect(await lossWith(dropoutKey)).toBe(losses[0]);
    const layoutWithout = chain([
      { op: 'conv2d', name: 'node0', filters: 8, kernelSize: 3 },
      { op: 'flatten' },
      { op: 'dense', name: 'node3', units: 'classes' },
    ]);
    const without = await modelOf(layoutWithout);
    expect((await without.computeSlice(batch)).lossSum).toBe(losses[2]);
    expect((await model.evaluate(batch)).logits).toEqual((await without.evaluate(batch)).logits);
    model.dispose();
    without.dispose();
  });
});

describe('a convolution with groups, without oneDNN', () => {
  beforeEach((context) => {
    if (typeof opened === 'string') context.skip(opened);
    if (loadTensorFlow(1).oneDnn?.isOn !== true) context.skip('oneDNN is off, so there is nothing to compare with');
  });

  it.each([
    { groups: 8, filters: 16, strides: [1, 1] },
    { groups: 8, filters: 8, strides: [2, 2] },
    { groups: 8, filters: 8, strides: [1, 2] },
    { groups: 2, filters: 6, strides: [1, 1] },
  ] as const)('gives the values and gradients of oneDNN: %o', ({ groups, filters, strides }) => {
    const runtime = loadTensorFlow(1);
    const { tf } = runtime;
    const padding = { top: 0, bottom: 0, left: 0, right: 0 };
    const layer = { groups, strides, padding, kernelSize: [3, 2] } as const;
    const x = tf.randomUniform<Rank.R4>([2, 7, 6, 8], -1, 1, 'float32', 1);
    const kernel = tf.randomUniform<Rank.R4>([3, 2, 8 / groups, filters], -1, 1, 'float32', 2);
    const compute = (isOn: boolean) => {
      const oneDnn = { isOn, isOnByDefault: true };
      const lossOf = (x: Tensor, kernel: Tensor) =>
        tf.sum<Scalar>(tf.square(convolve({ ...runtime, oneDnn }, x as Tensor4D, kernel as Tensor4D, layer)));
      const { value, grads } = tf.valueAndGrads(lossOf)([x, kernel]);
      return [value, ...grads].map((tensor) => tensor.dataSync<'float32'>());
    };
    const [with_, without] = [compute(true), compute(false)];
    for (const [index, values] of with_.entries()) expect(relativeError(without[index], values)).toBeLessThan(1e-6);
  });
});

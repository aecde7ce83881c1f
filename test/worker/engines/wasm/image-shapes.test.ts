// Both engines compared with float64 loops, on images of other shapes than those of CIFAR-10: sizes whose groups are
// multiples of 4 (which Winograd's algorithm computes), even or odd; one channel; and labels of one or two bytes.
import { afterAll, describe, expect, test } from 'vitest';
import { recordFormat, type RecordFormat } from '../../../../shared/dataset/record-format.js';
import { weightsSha256 } from '../../../../shared/network/layout-hash.js';
import type { ModelLayout } from '../../../../shared/network/layout.js';
import type { Shortcut } from '../../../../shared/network/networks/resnet.js';
import type { Engine } from '../../../../worker/engine.js';
import { openWasmEngine } from '../../../../worker/engines/wasm/wasm-engine.js';
import { perPixelMean } from '../../../support/random-batch.js';
import { referenceOfBatch } from '../../../support/reference-batch.js';
import type { ReferenceResult } from '../../../support/reference-network.js';
import { openTensorFlowOrReason } from '../../../support/tensorflow.js';
import { maxError, randomBatch, randomMovingStatistics, randomWeights } from './samples.js';
import { resnetLayout } from '../../../support/resnet-layout.js';

const opened = await openTensorFlowOrReason();
const wasm = await openWasmEngine({ threads: 1 });
const twoThreads = await openWasmEngine({ threads: 2 });
afterAll(() => Promise.all([wasm.close(), twoThreads.close()]));

const shapes = [
  { size: 48, channels: 3, classCount: 5 },
  { size: 28, channels: 1, classCount: 300 },
  { size: 25, channels: 3, classCount: 256 },
  { size: 14, channels: 1, classCount: 257 },
  { size: 8, channels: 3, classCount: 2 },
] as const;
const shortcuts: readonly Shortcut[] = ['identity', 'projection'];
const cases = shapes.flatMap((shape) => shortcuts.map((shortcut) => ({ ...shape, shortcut })));

function formatOf({ size, channels, classCount }: (typeof shapes)[number]): RecordFormat {
  return recordFormat({ height: size, width: size, channels, classCount });
}

/** Returns weights with which the inputs of all ReLUs are positive, so that rounding cannot switch any of them. */
function weightsWithActiveReLUs(layout: ModelLayout): Float32Array {
  const weights = randomWeights(layout);
  for (const { name, offset, size } of layout.weights) {
    if (name.endsWith('gamma')) weights.fill(0.3, offset, offset + size);
    if (name.endsWith('beta')) weights.fill(3, offset, offset + size);
  }
  return weights;
}

/** Sets the gradients of biases that batch norm cancels to 0: in TensorFlow they consist of rounding errors. */
function withoutCanceledBiases<Vector extends Float32Array | Float64Array>(
  gradient: Vector,
  layout: ModelLayout,
): Vector {
  for (const { name, offset, size } of layout.weights) {
    if (name.endsWith('bias') && !/projection|dense/.test(name)) gradient.fill(0, offset, offset + size);
  }
  return gradient;
}

/** Both engines are compared with the same references, which take most of the time. */
const references = new Map<string, { slice: ReferenceResult; evaluation: ReferenceResult }>();

/** Computes a slice and an evaluation with an engine, and with the references. */
async function computeBoth(engine: Engine, format: RecordFormat, shortcut: Shortcut) {
  const layout = resnetLayout({ initialFilters: 8, shortcut, convBias: true }, format);
  const preprocessing = shortcut === 'identity' ? 'imagenet' : perPixelMean(format);
  const labelSmoothing = 0.1;
  const weights = weightsWithActiveReLUs(layout);
  const moving = randomMovingStatistics(layout);
  const batch = randomBatch(7, 3, format);
  const model = await engine.createModel(layout, preprocessing, labelSmoothing);
  model.setWeights(weights, moving);
  const { lossSum, correctCount, gradientSum, batchStatistics } = await model.computeSlice(batch);
  const slice = { lossSum, correctCount, batchStatistics: batchStatistics.slice() };
  const gradient = withoutCanceledBiases(gradientSum.slice(), layout);
  const evaluation = await model.evaluate(batch);
  model.dispose();

  const compute = (options: { labelSmoothing?: number; movingStatistics?: Float32Array }) =>
    referenceOfBatch(layout, weights, batch, { preprocessing, ...options });
  const key = JSON.stringify([format, shortcut]);
  const reference = references.get(key) ?? {
    slice: compute({ labelSmoothing }),
    evaluation: compute({ movingStatistics: moving }),
  };
  references.set(key, reference);
  return {
    actual: { ...slice, gradient, evaluation },
    expected: {
      ...reference.slice,
      gradient: withoutCanceledBiases(reference.slice.gradientSum.slice(), layout),
      evaluation: reference.evaluation,
    },
  };
}

function expectAgreement({ actual, expected }: Awaited<ReturnType<typeof computeBoth>>): void {
  expect(Math.abs(actual.lossSum / expected.lossSum - 1)).toBeLessThan(2e-6);
  expect(actual.correctCount).toBe(expected.correctCount);
  expect(maxError(actual.gradient, expected.gradient)).toBeLessThan(2e-5);
  expect(maxError(actual.batchStatistics, expected.batchStatistics)).toBeLessThan(1e-5);
  expect(maxError(actual.evaluation.logits, expected.evaluation.logits)).toBeLessThan(1e-5);
  expect(actual.evaluation.correctCount).toBe(expected.evaluation.correctCount);
}

describe.each(cases)(
  '$size×$size×$channels with $classCount classes, $shortcut shortcuts:',
  ({ shortcut, ...shape }) => {
    test('the wasm engine agrees with the references', async () => {
      const results = await computeBoth(wasm, formatOf(shape), shortcut);
      expect(results.actual.gradient.every(Number.isFinite)).toBe(true);
      expectAgreement(results);
    });

    test.skipIf(typeof opened === 'string')('the tensorflow engine agrees with the references', async () => {
      const results = await computeBoth(opened as Engine, formatOf(shape), shortcut);
      expect(results.actual.gradient.every(Number.isFinite)).toBe(true);
      expectAgreement(results);
    });

    test('the wasm engine computes the same bits with two threads', async () => {
      const format = formatOf(shape);
      const layout = resnetLayout({ shortcut }, format);
      const bits = [];
      for (const engine of [wasm, twoThreads]) {
        const model = await engine.createModel(layout, 'imagenet');
        model.setWeights(randomWeights(layout), randomMovingStatistics(layout));
        const { gradientSum, batchStatistics } = await model.computeSlice(randomBatch(9, 3, format));
        bits.push(weightsSha256(gradientSum, batchStatistics));
        model.dispose();
      }
      expect(bits[1]).toBe(bits[0]);
    });
  },
);

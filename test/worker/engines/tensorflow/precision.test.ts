// Computation in 16-bit types, compared with float32.
import { beforeEach, describe, expect, it } from 'vitest';
import type { Precision } from '../../../../worker/engine.js';
import { openEngine } from '../../../../worker/engines/registry.js';
import { computeUnitsOf } from '../../../../worker/engines/tensorflow/precision.js';
import { openTensorFlowEngine } from '../../../../worker/engines/tensorflow/tensorflow-engine.js';
import { randomBatch, randomMovingStatistics, randomWeights } from '../../../support/random-batch.js';
import { openTensorFlowOrReason } from '../../../support/tensorflow.js';
import { resnetLayout } from '../../../support/resnet-layout.js';

const opened = await openTensorFlowOrReason();
const layout = resnetLayout({ initialFilters: 16, shortcut: 'projection', convBias: true });
const batch = randomBatch(16, 1);

async function computeWith(precision: Precision) {
  const engine = await openTensorFlowEngine({ threads: 1, precision });
  const model = await engine.createModel(layout, 'imagenet');
  model.setWeights(randomWeights(layout, 1), randomMovingStatistics(layout, 2));
  const { gradientSum, ...slice } = await model.computeSlice(batch);
  const gradient = gradientSum.slice();
  const evaluation = await model.evaluate(batch);
  model.dispose();
  return { ...slice, gradient, evaluation, fingerprint: engine.identity.fingerprint };
}

function distanceOverLength(actual: Float32Array, expected: Float32Array): number {
  const length = (values: Float32Array) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  return length(actual.map((value, i) => value - expected[i])) / length(expected);
}

describe('the precision', () => {
  beforeEach((context) => {
    if (typeof opened === 'string') context.skip(opened);
  });

  // bfloat16 has 8 significant bits and float16 has 11, so relative rounding errors are up to 0.4% and 0.05%,
  // respectively.
  it.each([
    { precision: 'bfloat16', lossTolerance: 2e-2, gradientTolerance: 0.2 },
    { precision: 'float16', lossTolerance: 2e-3, gradientTolerance: 0.05 },
  ] as const)('$precision is close to float32', async ({ precision, lossTolerance, gradientTolerance }) => {
    const exact = await computeWith('float32');
    const lowered = await computeWith(precision);
    expect(Math.abs(lowered.lossSum / exact.lossSum - 1)).toBeLessThan(lossTolerance);
    expect(Math.abs(lowered.evaluation.lossSum / exact.evaluation.lossSum - 1)).toBeLessThan(lossTolerance);
    const distance = distanceOverLength(lowered.gradient, exact.gradient);
    expect(distance).toBeGreaterThan(1e-4); // proves that the computation uses a different type
    expect(distance).toBeLessThan(gradientTolerance);
  });

  it('is part of the fingerprint', async () => {
    const fingerprints = await Promise.all(
      (['float32', 'bfloat16', 'float16'] as const).map(
        async (precision) => (await openTensorFlowEngine({ threads: 1, precision })).identity.fingerprint,
      ),
    );
    expect(new Set(fingerprints).size).toBe(3);
    expect(fingerprints[1]).toContain(', bfloat16');
  });

  it('requires graph mode', async () => {
    await expect(
      openEngine('tensorflow', { threads: 1, precision: 'bfloat16', tensorFlowMode: 'eager' }),
    ).rejects.toMatchObject({ code: 'bad-option', message: expect.stringContaining('needs `tensorFlowMode` graph') });
  });
});

describe('the units that multiply a 16-bit type', () => {
  const amx = { vendor: 'GenuineIntel', instructionSets: ['avx512_bf16', 'amx_bf16'] };
  const intel = { vendor: 'GenuineIntel', instructionSets: ['avx512_bf16'] };
  const amd = { vendor: 'AuthenticAMD', instructionSets: ['avx512_bf16'] };
  const old = { vendor: 'AuthenticAMD', instructionSets: [] };

  it.each([
    { precision: 'bfloat16', processor: amx, units: 'native' },
    { precision: 'bfloat16', processor: amd, units: 'native' },
    { precision: 'bfloat16', processor: intel, units: 'float32' },
    { precision: 'bfloat16', processor: old, units: 'float32' },
    { precision: 'float16', processor: amx, units: 'float32' },
  ] as const)('for $precision on $processor are $units', ({ precision, processor, units }) => {
    expect(computeUnitsOf(precision, false, processor)).toBe(units);
    expect(computeUnitsOf(precision, true, processor)).toBe('native'); // on a machine that also has a GPU
  });
});

it.each([
  ['`precision` bfloat16', { precision: 'bfloat16' }],
  ['`tensorFlowMode` eager', { tensorFlowMode: 'eager' }],
  ['`xla`', { xla: true }],
] as const)('%s is rejected by the wasm engine', async (setting, settings) => {
  await expect(openEngine('wasm', { threads: 1, ...settings })).rejects.toMatchObject({
    code: 'bad-option',
    message: expect.stringContaining(`${setting} needs the tensorflow engine`),
  });
});

import { expect, it } from 'vitest';
import { computeStep, relativeDistance, wasmStepSha256 } from '../../../../cli/machine/doctor/self-test.js';
import { openEngine } from '../../../../worker/engines/registry.js';

it('computeStep has the same result with any number of threads of the wasm engine', async () => {
  for (const threads of [1, 2]) {
    const engine = await openEngine('wasm', { threads });
    expect((await computeStep(engine)).sha256).toBe(wasmStepSha256);
    await engine.close();
  }
});

it('relativeDistance is the length of the difference, relative to the expected gradient', () => {
  expect(relativeDistance(Float32Array.of(3, 4), Float32Array.of(3, 4))).toBe(0);
  expect(relativeDistance(Float32Array.of(3, 5), Float32Array.of(3, 4))).toBeCloseTo(0.2); // length 1 relative to 5
  expect(relativeDistance(Float32Array.of(3, NaN), Float32Array.of(3, 4))).toBeNaN();
});

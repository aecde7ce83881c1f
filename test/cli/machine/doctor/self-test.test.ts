import { expect, it } from 'vitest';
import { computeStep, distanceBetween, wasmStepSha256 } from '../../../../cli/machine/doctor/self-test.js';
import { openEngine } from '../../../../worker/engines/registry.js';

it('has one result on the wasm engine, whatever the number of threads', async () => {
  for (const threads of [1, 2]) {
    const { engine } = await openEngine('wasm', { threads });
    expect((await computeStep(engine)).sha256).toBe(wasmStepSha256);
    await engine.close();
  }
});

it('measures how far a gradient is off, as a part of the right one', () => {
  expect(distanceBetween(Float32Array.of(3, 4), Float32Array.of(3, 4))).toBe(0);
  expect(distanceBetween(Float32Array.of(3, 5), Float32Array.of(3, 4))).toBeCloseTo(0.2); // 1 of 5
  expect(distanceBetween(Float32Array.of(3, NaN), Float32Array.of(3, 4))).toBeNaN();
});

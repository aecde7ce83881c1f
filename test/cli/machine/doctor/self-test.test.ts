import { expect, it } from 'vitest';
import { computeStep, relativeDistance, stepSha256 } from '../../../../cli/machine/doctor/self-test.js';
import type { WasmEngineName } from '../../../../worker/engines/wasm/wasm-engine.js';
import { openAvailableWasmEngines } from '../../../support/wasm-engines.js';

it('computeStep has the same result with any number of threads of the wasm engines', async () => {
  for (const threads of [1, 2]) {
    for (const engine of await openAvailableWasmEngines(threads)) {
      expect((await computeStep(engine)).sha256).toBe(stepSha256[engine.identity.engine as WasmEngineName]);
      await engine.close();
    }
  }
});

it('relativeDistance is the length of the difference, relative to the expected gradient', () => {
  expect(relativeDistance(Float32Array.of(3, 4), Float32Array.of(3, 4))).toBe(0);
  expect(relativeDistance(Float32Array.of(3, 5), Float32Array.of(3, 4))).toBeCloseTo(0.2); // length 1 relative to 5
  expect(relativeDistance(Float32Array.of(3, NaN), Float32Array.of(3, 4))).toBeNaN();
});

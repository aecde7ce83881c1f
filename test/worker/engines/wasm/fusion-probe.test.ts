import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { fusesMultiplyAdd } from '../../../../worker/engines/wasm/fusion-probe.js';
import { withSharedMemory } from '../../../../worker/engines/wasm/shared-memory.js';
import { openWasmEngine } from '../../../../worker/engines/wasm/wasm-engine.js';
import { createModelMemory } from '../../../../worker/engines/wasm/wasm-model.js';

// What the probe says of the fused kernels, with and without a fused instruction, is tested with other versions of
// Node.js and in Chromium (test/integration/same-bits.test.ts and test/browsers/chromium-bits.test.ts).
const kernels = await readFile(new URL('../../../../dist/worker/engines/wasm/kernels.wasm', import.meta.url));

test.each([
  ['unshared', kernels, 1],
  ['shared', withSharedMemory(kernels), 2],
])('the probe sees that kernels with %s memory round between multiplication and addition', async (_, code, threads) => {
  expect(fusesMultiplyAdd(await WebAssembly.compile(code), createModelMemory(threads))).toBe(false);
});

test('kernels that do not import one unshared memory cannot be changed to shared memory', () => {
  expect(() => withSharedMemory(withSharedMemory(kernels))).toThrow('the kernels do not import one unshared memory');
});

const hasRelaxedSimd = Number.parseInt(process.versions.node) >= 22;

test.runIf(!hasRelaxedSimd)('without relaxed SIMD, the error names what is missing and the remedy', async () => {
  await expect(openWasmEngine({ threads: 2 }, 'wasm-fma')).rejects.toMatchObject({
    code: 'no-engine',
    message: expect.stringMatching(
      /^the wasm-fma engine needs relaxed SIMD, .* use Node\.js 22 or later, or the wasm engine$/,
    ) as string,
  });
});

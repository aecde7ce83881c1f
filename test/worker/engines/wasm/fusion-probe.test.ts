import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { LockstepError } from '../../../../shared/errors.js';
import { fusesMultiplyAdd } from '../../../../worker/engines/wasm/fusion-probe.js';
import { openWasmEngine } from '../../../../worker/engines/wasm/wasm-engine.js';
import { createModelMemory } from '../../../../worker/engines/wasm/wasm-model.js';

// What the probe says of the fused kernels, with and without a fused instruction, is tested with other versions of
// Node.js and in Chromium (test/integration/same-bits.test.ts and chromium-bits.test.ts).
test.each([
  ['kernels.wasm', 1],
  ['kernels-shared.wasm', 2],
])('the probe sees that %s rounds between multiplication and addition', async (file, threads) => {
  const kernels = await readFile(new URL(`../../../../dist/worker/engines/wasm/${file}`, import.meta.url));
  expect(fusesMultiplyAdd(await WebAssembly.compile(kernels), createModelMemory(threads))).toBe(false);
});

test('wasm-fma opens, or the error says what is missing and what to use instead', async () => {
  try {
    await (await openWasmEngine({ threads: 2 }, 'wasm-fma')).close();
  } catch (error) {
    expect(error).toBeInstanceOf(LockstepError);
    expect(error).toMatchObject({
      code: 'no-engine',
      message: expect.stringMatching(
        /^the wasm-fma engine needs (relaxed SIMD, .* use Node.js 22 or later, or|fused multiply-add, .* use) the wasm engine$/,
      ) as string,
    });
  }
});

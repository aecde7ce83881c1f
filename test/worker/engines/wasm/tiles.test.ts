// Threads share the tiles of a pass, so no tile may read or write what another tile of the same pass writes. The test
// runs each tile separately and compares the contents of the memory.
import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import type { ModelSpec } from '../../../../shared/network/layout.js';
import { instantiateKernels } from '../../../../worker/engines/wasm/kernels.js';
import { planFixed } from '../../../../worker/engines/wasm/memory/fixed-plan.js';
import { planTensors } from '../../../../worker/engines/wasm/memory/tensor-plan.js';
import { stepPasses } from '../../../../worker/engines/wasm/passes/step-passes.js';
import { weightPasses } from '../../../../worker/engines/wasm/passes/weight-passes.js';
import { createModelMemory, WasmModel } from '../../../../worker/engines/wasm/wasm-model.js';
import { layoutOf, randomBatch, randomMovingStatistics, randomWeights } from './samples.js';

const module = await WebAssembly.compile(
  await readFile(new URL('../../../../dist/worker/engines/wasm/kernels.wasm', import.meta.url)),
);

/** Returns a model's memory after a step, and the passes of another step of the same size. */
async function passesOf(spec: Partial<ModelSpec>, count: number) {
  const layout = layoutOf(spec);
  const memory = createModelMemory(1);
  const passOptions = { labelSmoothing: 0.1, hasPixelMeans: false };
  const model = new WasmModel(layout, 'imagenet', { module, memory, threads: 1, passOptions });
  model.setWeights(randomWeights(layout), randomMovingStatistics(layout));
  await model.computeSlice(randomBatch(count));
  const kernels = instantiateKernels(module, memory);
  const fixed = planFixed(layout, 1);
  const [own] = fixed.threads;
  const tensors = planTensors(fixed, count);
  const build = (mode: 'train' | 'evaluate') =>
    stepPasses({ kernels, fixed, tensors, imageCount: count, mode, ...passOptions });
  return {
    words: new Int32Array(memory.buffer),
    /** Clears the thread's own memory, which no other thread reads. */
    clearOwn: (words: Int32Array) => words.fill(0, own.scratch / 4, fixed.end / 4),
    own,
    passes: [...weightPasses(kernels, fixed), ...build('evaluate'), ...build('train')],
  };
}

const bytesOf = (words: Int32Array) => Buffer.from(words.buffer, words.byteOffset, words.byteLength);
const chunkWords = 4096;

/** Calls `differs` with the index of each word that differs. */
function compare(words: Int32Array, before: Int32Array, differs: (word: number) => void): void {
  for (let chunk = 0; chunk < words.length; chunk += chunkWords) {
    const end = Math.min(chunk + chunkWords, words.length);
    if (bytesOf(words.subarray(chunk, end)).equals(bytesOf(before.subarray(chunk, end)))) continue;
    for (let word = chunk; word < end; word++) if (words[word] !== before[word]) differs(word);
  }
}

describe('the tiles of a pass', () => {
  test.each([
    ['with identity shortcuts', { shortcut: 'identity' }, 9],
    ['with projections and biases', { shortcut: 'projection', convBias: true, initialFilters: 12 }, 3],
  ] as const)('neither read nor write what another tile writes, %s', async (_, spec, count) => {
    const { words, clearOwn, own, passes } = await passesOf(spec, count);
    let splitPasses = 0;
    for (const pass of passes) {
      if (pass.tiles > 1) splitPasses++;
      clearOwn(words);
      const before = words.slice();
      const together = words.slice();
      const writtenBy = new Map<number, number>();
      const sharedWords = new Set<number>();
      for (let tile = 0; tile < pass.tiles; tile++) {
        words.set(before);
        pass.run(tile, own);
        clearOwn(words);
        compare(words, before, (word) => {
          if (writtenBy.has(word)) sharedWords.add(word);
          writtenBy.set(word, tile);
          together[word] = words[word];
        });
      }
      expect([...sharedWords]).toEqual([]);
      // Run all tiles one after another, as a single thread does.
      words.set(before);
      for (let tile = 0; tile < pass.tiles; tile++) pass.run(tile, own);
      clearOwn(words);
      expect(bytesOf(words).equals(bytesOf(together))).toBe(true);
    }
    expect(splitPasses).toBeGreaterThan(15);
  });
});

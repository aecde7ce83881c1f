// Threads share out the parts of a pass, so no part may depend on another of the same pass: neither read what it writes
// nor write where it writes. Seen here in the memory itself, part by part.
import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import type { ModelSpec } from '../../../../shared/network/layout.js';
import { instantiateKernels } from '../../../../worker/engines/wasm/kernels.js';
import { planFixed, planTensors } from '../../../../worker/engines/wasm/memory-plan.js';
import { PassBuilder, weightPasses } from '../../../../worker/engines/wasm/step-passes.js';
import { createModelMemory, WasmModel } from '../../../../worker/engines/wasm/wasm-model.js';
import { layoutOf, randomBatch, randomMovingStatistics, randomWeights } from './samples.js';

const module = await WebAssembly.compile(
  await readFile(new URL('../../../../dist/worker/engines/wasm/kernels.wasm', import.meta.url)),
);

/** A model after a step, and the passes of another such step on the same memory. */
async function passesOf(spec: Partial<ModelSpec>, count: number) {
  const layout = layoutOf(spec);
  const memory = createModelMemory(1);
  const passOptions = { labelSmoothing: 0.1, centresPixels: false };
  const model = new WasmModel(layout, 'imagenet', { module, memory, threads: 1, passOptions });
  model.setWeights(randomWeights(layout), randomMovingStatistics(layout));
  await model.computeSlice(randomBatch(count));
  const kernels = instantiateKernels(module, memory);
  const fixed = planFixed(layout, 1);
  const [own] = fixed.threads;
  const build = (mode: 'train' | 'evaluate') =>
    new PassBuilder(kernels, fixed, planTensors(fixed, count), { count, mode, ...passOptions }).build();
  return {
    words: new Int32Array(memory.buffer),
    /** Clears what each thread has of its own: it is no business of another. */
    clearOwn: (words: Int32Array) => words.fill(0, own.scratch / 4, fixed.end / 4),
    own,
    passes: [...weightPasses(kernels, fixed), ...build('evaluate'), ...build('train')],
  };
}

const bytesOf = (words: Int32Array) => Buffer.from(words.buffer, words.byteOffset, words.byteLength);
const wordsOfChunk = 4096;

/** Calls back with each word in which the memories differ. */
function compare(words: Int32Array, before: Int32Array, differs: (word: number) => void): void {
  for (let chunk = 0; chunk < words.length; chunk += wordsOfChunk) {
    const end = Math.min(chunk + wordsOfChunk, words.length);
    if (bytesOf(words.subarray(chunk, end)).equals(bytesOf(before.subarray(chunk, end)))) continue;
    for (let word = chunk; word < end; word++) if (words[word] !== before[word]) differs(word);
  }
}

describe('the parts of a pass', () => {
  test.each([
    ['with identity shortcuts', { shortcut: 'identity' }, 9],
    ['with projections and biases', { shortcut: 'projection', convBias: true, initialFilters: 12 }, 3],
  ] as const)('write to places of their own and read none of each other, %s', async (_, spec, count) => {
    const { words, clearOwn, own, passes } = await passesOf(spec, count);
    let passesOfSeveral = 0;
    for (const pass of passes) {
      if (pass.parts > 1) passesOfSeveral++;
      clearOwn(words);
      const before = words.slice();
      const together = words.slice();
      const writtenBy = new Map<number, number>();
      const sharedWords = new Set<number>();
      for (let part = 0; part < pass.parts; part++) {
        words.set(before);
        pass.run(part, own);
        clearOwn(words);
        compare(words, before, (word) => {
          if (writtenBy.has(word)) sharedWords.add(word);
          writtenBy.set(word, part);
          together[word] = words[word];
        });
      }
      expect([...sharedWords]).toEqual([]);
      // one after the other, as a single thread does it
      words.set(before);
      for (let part = 0; part < pass.parts; part++) pass.run(part, own);
      clearOwn(words);
      expect(bytesOf(words).equals(bytesOf(together))).toBe(true);
    }
    expect(passesOfSeveral).toBeGreaterThan(15);
  });
});

// Threads share the tiles of a pass, so no tile may read or write what another tile of the same pass writes. The test
// runs each tile separately and compares the contents of the memory.
import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { recordFormat } from '../../../../shared/dataset/record-format.js';
import { layoutNetwork, type ModelLayout } from '../../../../shared/network/layout.js';
import { createModelMemory, WasmModel } from '../../../../worker/engines/wasm/wasm-model.js';
import { StepRunner } from '../../../../worker/engines/wasm/step-runner.js';
import { randomBatch, randomMovingStatistics, randomWeights } from '../../../support/random-batch.js';
import { smallNetworks, type SmallNetwork } from './small-networks.js';

const module = await WebAssembly.compile(
  await readFile(new URL('../../../../dist/worker/engines/wasm/kernels.wasm', import.meta.url)),
);

/** Returns a model's memory after a step, and the passes of another step of the same size. */
async function passesOf(layout: ModelLayout, count: number) {
  const memory = createModelMemory(1);
  const passOptions = { labelSmoothing: 0.1, hasPixelMeans: false };
  const model = new WasmModel(layout, 'imagenet', { module, memory, threads: 1, passOptions });
  model.setWeights(randomWeights(layout, 1), randomMovingStatistics(layout, 2));
  await model.computeSlice(randomBatch(count, 3, recordFormat(layout.data)));
  const runner = new StepRunner({ module, memory, layout, thread: 0, threads: 1, ...passOptions });
  runner.memory.place(count);
  const [own] = runner.memory.threads;
  return {
    words: new Int32Array(memory.buffer),
    /** Clears the thread's own memory, which no other thread reads. */
    clearOwn: (words: Int32Array) => words.fill(0, own.scratch / 4, runner.memory.arrays.records / 4),
    own,
    passes: [...runner.weightPasses, ...runner.programs.evaluate.passes, ...runner.programs.train.passes],
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
  const cases: { name: SmallNetwork; count: number }[] = [
    { name: 'resnet with identity shortcuts', count: 9 },
    { name: 'resnet with projections', count: 3 },
    { name: 'mobilenet', count: 17 },
    { name: 'airbench', count: 5 },
    { name: 'perceptron', count: 20 },
    { name: 'every operation', count: 9 },
  ];

  test.each(cases)('neither read nor write what another tile writes: $name, $count images', async ({ name, count }) => {
    const { graph, data } = smallNetworks[name];
    const { words, clearOwn, own, passes } = await passesOf(layoutNetwork(graph, data), count);
    let splitPasses = 0;
    for (const pass of passes) {
      const tiles = pass.tileCount(count);
      if (tiles > 1) splitPasses++;
      clearOwn(words);
      const before = words.slice();
      const together = words.slice();
      const writtenBy = new Map<number, number>();
      const sharedWords = new Set<number>();
      for (let tile = 0; tile < tiles; tile++) {
        words.set(before);
        pass.run(tile, count, own);
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
      for (let tile = 0; tile < tiles; tile++) pass.run(tile, count, own);
      clearOwn(words);
      expect(bytesOf(words).equals(bytesOf(together))).toBe(true);
    }
    expect(splitPasses).toBeGreaterThan(5);
  });
});

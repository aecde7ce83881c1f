// Program of a page that computes with a wasm engine's kernels; chromium-bits.test.ts bundles it. It has no threads.
import { fusesMultiplyAdd } from '../../worker/engines/wasm/fusion-probe.js';
import { createModelMemory, WasmModel } from '../../worker/engines/wasm/wasm-model.js';
import { computeBatches, resNet20, resNet20Images } from '../worker/engines/wasm/computed-batches.js';
import { randomBatch } from '../worker/engines/wasm/samples.js';
import { resnetLayout } from './resnet-layout.js';

export interface PageResult {
  isFused: boolean;
  /** Results of computeBatches, as plain numbers. */
  results: number[][][];
}

export async function computeInPage(kernelsUrl: string): Promise<PageResult> {
  const module = await WebAssembly.compile(new Uint8Array(await (await fetch(kernelsUrl)).arrayBuffer()));
  const layout = resnetLayout(resNet20);
  const model = new WasmModel(layout, 'imagenet', {
    module,
    memory: createModelMemory(1),
    threads: 1,
    passOptions: { labelSmoothing: 0, hasPixelMeans: false },
  });
  const results = await computeBatches(model, layout, [randomBatch(resNet20Images)]);
  return {
    isFused: fusesMultiplyAdd(module, createModelMemory(1)),
    results: results.map((arrays) => arrays.map((array) => Array.from(array))),
  };
}

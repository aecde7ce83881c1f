// Hashes of what the wasm engines compute, which are the same on every machine.
import { createHash } from 'node:crypto';
import type { WasmEngineName } from '../../../../worker/engines/wasm/wasm-engine.js';

export function hashOf(...arrays: readonly Float32Array[]): string {
  const hash = createHash('sha256');
  for (const array of arrays) hash.update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
  return hash.digest('hex');
}

/** Returns one hash of the results of computeBatches. */
export function hashOfBatches(results: readonly Float32Array[][]): string {
  const hashes = results.map((arrays) => hashOf(...arrays));
  return hashOf(Float32Array.from(hashes.flatMap((hash) => Array.from(Buffer.from(hash, 'hex')))));
}

/**
 * Hashes for the model and batch in computed-batches.ts. Verified on x86-64 with Node 22, 24 and Chromium, and with and
 * without V8's optimizing compiler; `wasm` also with Node 20 and without AVX.
 */
export const resNet20Sha256: Readonly<Record<WasmEngineName, string>> = {
  wasm: '11566b0ee3caeeea7e10da488086659fc15b61d2312685fa19a736f836f4e0e3',
  'wasm-fma': 'd77b6d18b06735f3a3b02ff14f1962b5eff94883b8b1510a12a065118998bec7',
};

// The interface of the compiled kernels; assembly/update.ts documents each function.
import { readFileSync } from 'node:fs';
import { builtFile } from '../../shared/built-file.js';

export interface UpdateKernels {
  /** 0 or 1. */
  areFinite(address: number, count: number): number;
  /** @returns 0 or 1 */
  update(
    weights: number,
    velocity: number,
    gradient: number,
    count: number,
    samples: number,
    decay: number,
    momentum: number,
    rate: number,
    nesterov: boolean,
  ): number;
}

let compiled: WebAssembly.Module | undefined;

/** Instantiates the kernels on a memory. Throws `not-built`. */
export function updateKernelsOn(memory: WebAssembly.Memory): UpdateKernels {
  compiled ??= new WebAssembly.Module(readFileSync(builtFile('update.wasm', import.meta.url)));
  return new WebAssembly.Instance(compiled, { env: { memory } }).exports as unknown as UpdateKernels;
}

// The interface of the compiled kernels; assembly/update.ts documents each function.
import { readFileSync } from 'node:fs';
import { builtFile } from '../../shared/built-file.js';

export interface UpdateKernels {
  /** @returns 1 if all values are finite, otherwise 0 */
  areFinite(address: number, count: number): number;
  /** @returns 1 if every new weight is finite, otherwise 0 */
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

/** Instantiates the kernels on a WebAssembly memory. Throws `not-built` if they have not been compiled. */
export function updateKernelsOn(memory: WebAssembly.Memory): UpdateKernels {
  compiled ??= new WebAssembly.Module(readFileSync(builtFile('update.wasm', import.meta.url)));
  return new WebAssembly.Instance(compiled, { env: { memory } }).exports as unknown as UpdateKernels;
}

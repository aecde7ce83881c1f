// The compiled kernels of the SGD update, which workers also use.
import { readFileSync } from 'node:fs';
import { builtFile } from '../../shared/built-file.js';

let compiled: WebAssembly.Module | undefined;

/** Returns the compiled kernels. Throws `not-built` if they have not been compiled. */
export function updateModule(): WebAssembly.Module {
  compiled ??= new WebAssembly.Module(readFileSync(builtFile('../../shared/optimizer/update.wasm', import.meta.url)));
  return compiled;
}

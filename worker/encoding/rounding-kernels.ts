// The interface of the compiled kernel; assembly/rounding.ts documents it.
import { host } from '../../shared/platform/host.js';

export interface RoundingKernels {
  /** @returns number of clipped values */
  round(
    gradient: number,
    count: number,
    scale: number,
    counter: number,
    counter1: number,
    key0: number,
    key1: number,
    integers: number,
    largest: number,
  ): number;
}

/** Returns a function that instantiates the kernel on a WebAssembly memory. Throws if the kernel cannot be loaded. */
export async function loadRoundingKernels(): Promise<(memory: WebAssembly.Memory) => RoundingKernels> {
  const module = new WebAssembly.Module(await host.readBuiltFile('rounding.wasm', import.meta.url));
  return (memory) => new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as RoundingKernels;
}

// Loads the compiled kernels of the SGD update in a worker, which may be in a browser.
import { host } from '../platform/host.js';

/** Returns the compiled kernels. Throws if they cannot be loaded. */
export async function loadUpdateModule(): Promise<WebAssembly.Module> {
  return new WebAssembly.Module(await host.readBuiltFile('update.wasm', import.meta.url));
}

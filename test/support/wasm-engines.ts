// The wasm engines that this version of Node.js can run on this CPU.
import { LockstepError } from '../../shared/errors.js';
import { openWasmEngine, type WasmEngine } from '../../worker/engines/wasm/wasm-engine.js';
import { sayWhySkipped } from './why-skipped.js';

/** Opens each engine that opens here, `wasm` first. Prints why tests of the other engine are skipped. */
export async function openAvailableWasmEngines(threads = 1): Promise<WasmEngine[]> {
  const wasm = await openWasmEngine({ threads }, 'wasm');
  try {
    return [wasm, await openWasmEngine({ threads }, 'wasm-fma')];
  } catch (error) {
    if (!(error instanceof LockstepError && error.code === 'no-engine')) throw error;
    sayWhySkipped('wasm-fma', error.message);
    return [wasm];
  }
}

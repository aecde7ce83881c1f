// The wasm engine in browsers.
import { describeBrowser } from '../../../../shared/worker/describe-browser.js';
import { createWasmEngine, type WasmEngine, type WasmPlatform } from '../create-engine.js';

const browser = describeBrowser(navigator.userAgent);

const platform: WasmPlatform = {
  runtime: browser,
  describeDevice: (threads) => `${browser}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`,

  async readKernels(file) {
    const response = await fetch(new URL(file, import.meta.url));
    if (!response.ok) throw new Error(`${response.url} cannot be loaded (HTTP status ${response.status})`);
    return new Uint8Array(await response.arrayBuffer());
  },

  startThread(options) {
    const thread = new Worker(new URL('wasm-thread.js', import.meta.url), { type: 'module' });
    const ready = new Promise<void>((resolve, reject) => {
      thread.addEventListener('message', () => resolve(), { once: true });
      thread.addEventListener('error', ({ message }) => reject(new Error(message || 'it failed to start')));
    });
    thread.postMessage(options);
    return { ready, unref: () => undefined, terminate: () => thread.terminate() };
  },
};

/** Opens the wasm engine. Throws if its kernels cannot be loaded. */
export async function openWasmEngine(threads: number): Promise<WasmEngine> {
  return createWasmEngine({ threads }, 'wasm', platform);
}

// Browsers: their pages and Web Workers.
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import type { Platform, Sha256 } from './platform.js';

/** The version in package.json, which the build inserts. */
declare const LOCKSTEP_VERSION: string;

/** In JavaScript, because WebCrypto hashes only whole messages, and is missing over plain HTTP. */
class JavaScriptSha256 implements Sha256 {
  readonly #hash = sha256.create();

  update(bytes: Uint8Array): this {
    this.#hash.update(bytes);
    return this;
  }

  digest(): string {
    return bytesToHex(this.#hash.digest());
  }
}

/** Resolves in a new task, after those that are already waiting. Timers of 0 ms would take up to 4 ms. */
function nextTask(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.addEventListener('message', () => {
      port1.close();
      resolve();
    });
    port1.start();
    port2.postMessage(undefined);
  });
}

export const host: Platform = {
  version: LOCKSTEP_VERSION,
  machineMs: () => performance.timeOrigin + performance.now(),
  unref: () => undefined,
  yieldToEvents: nextTask,
  createSha256: () => new JavaScriptSha256(),
  async sha256Of(bytes) {
    // Over plain HTTP, except on loopback, pages have no WebCrypto.
    const { subtle } = crypto as Partial<typeof crypto>;
    if (subtle === undefined) return new JavaScriptSha256().update(bytes).digest();
    return bytesToHex(new Uint8Array(await subtle.digest('SHA-256', bytes)));
  },
  async readBuiltFile(name) {
    const response = await fetch(new URL(name, import.meta.url));
    if (!response.ok) throw new Error(`${response.url} cannot be loaded (HTTP status ${response.status})`);
    return new Uint8Array(await response.arrayBuffer());
  },
  allocate: (bytes) => new Uint8Array(bytes),
  bufferBytes: () => 0,
  collectYoungGeneration: undefined,
};

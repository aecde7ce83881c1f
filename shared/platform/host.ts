// Node. Builds for browsers replace this file with host.browser.ts.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { getHeapStatistics } from 'node:v8';
import { builtFile } from '../built-file.js';
import type { Platform, Sha256 } from './platform.js';

/** Maximum number of bytes per update. Node.js cannot hash 2 GiB or more at once. */
const maxUpdateBytes = 2 ** 30;

class NodeSha256 implements Sha256 {
  readonly #hash = createHash('sha256');

  update(bytes: Uint8Array): this {
    for (let offset = 0; offset < bytes.length; offset += maxUpdateBytes) {
      this.#hash.update(bytes.subarray(offset, offset + maxUpdateBytes));
    }
    return this;
  }

  digest(): string {
    return this.#hash.digest('hex');
  }
}

/**
 * Returns the version in package.json, which is two levels above this folder in a source checkout and three levels above
 * it in dist.
 */
function readVersion(): string {
  for (const file of ['../../package.json', '../../../package.json']) {
    // Parse without zod, because loading zod would take a third of the run time of `lockstep --version`.
    const { name, version }: { name?: unknown; version?: unknown } = JSON.parse(
      readOptional(new URL(file, import.meta.url)),
    );
    if (name === 'lockstep' && typeof version === 'string') return version;
  }
  throw new Error("Lockstep's package.json was not found next to its code: reinstall the package");
}

function readOptional(file: URL): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '{}';
    throw error;
  }
}

export const host: Platform = {
  version: readVersion(),
  machineMs: () => Number(process.hrtime.bigint()) / 1e6,
  unref: (timer) => void timer.unref(),
  yieldToEvents: () => new Promise((resolve) => setImmediate(resolve)),
  createSha256: () => new NodeSha256(),
  sha256Of: (bytes) => Promise.resolve(new NodeSha256().update(bytes).digest()),
  readBuiltFile: async (name, importer) => new Uint8Array(await readFile(builtFile(name, importer))),
  allocate: (bytes) => Buffer.allocUnsafe(bytes),
  bufferBytes: () => getHeapStatistics().external_memory,
  get collectYoungGeneration() {
    const { gc } = globalThis;
    return gc && (() => gc({ type: 'minor' }));
  },
};

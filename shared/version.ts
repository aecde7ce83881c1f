// The package's version, from its package.json.
import { readFileSync } from 'node:fs';

/**
 * Returns the version in package.json, which is in the parent of this folder in a source checkout and one level higher
 * if this folder is in dist.
 */
function readVersion(): string {
  for (const file of ['../package.json', '../../package.json']) {
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

export const lockstepVersion = readVersion();

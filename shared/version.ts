// The version of the package, from its package.json.
import { readFileSync } from 'node:fs';

/** package.json is next to this folder in a checkout's sources, and one folder further up from dist/. */
function readVersion(): string {
  for (const file of ['../package.json', '../../package.json']) {
    // Without zod, whose loading would take a third of `lockstep --version`.
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

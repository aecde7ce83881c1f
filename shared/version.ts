// The package's version, as package.json has it: the one place that knows where that file lies.
import { readFileSync } from 'node:fs';
import { z } from 'zod';

/** package.json is beside this folder in a checkout's sources and one folder further up from dist/. */
function readPackage(): { version: string } {
  for (const place of ['../package.json', '../../package.json']) {
    const text = readOptional(new URL(place, import.meta.url));
    const parsed = z.object({ name: z.literal('lockstep'), version: z.string() }).safeParse(text && JSON.parse(text));
    if (parsed.success) return parsed.data;
  }
  throw new Error("lockstep's own package.json was not found beside its code: reinstall the package");
}

function readOptional(file: URL): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

export const lockstepVersion = readPackage().version;

// The version in package.json. No other file knows where package.json is.
import { readFileSync } from 'node:fs';
import { z } from 'zod';

/** package.json is next to this folder in the sources, and one level above it in dist/. */
function readPackage(): { version: string } {
  for (const location of ['../package.json', '../../package.json']) {
    const text = readOptional(new URL(location, import.meta.url));
    const parsed = z.object({ name: z.literal('lockstep'), version: z.string() }).safeParse(text && JSON.parse(text));
    if (parsed.success) return parsed.data;
  }
  throw new Error("cannot find lockstep's own package.json: reinstall the package");
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

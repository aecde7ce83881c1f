// The version in package.json. No other file knows where package.json is.
import { existsSync, readFileSync } from 'node:fs';
import { z } from 'zod';

const manifest = z.object({ name: z.literal('lockstep'), version: z.string() });

/** package.json is next to this folder in the sources, and one level above it in dist/. */
function readVersion(): string {
  for (const location of ['../package.json', '../../package.json']) {
    const file = new URL(location, import.meta.url);
    const parsed = existsSync(file) ? manifest.safeParse(JSON.parse(readFileSync(file, 'utf8'))) : undefined;
    if (parsed?.success) return parsed.data.version;
  }
  throw new Error("cannot find lockstep's own package.json: reinstall the package");
}

export const lockstepVersion = readVersion();

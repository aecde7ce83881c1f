// The page's own files as the build left them: read when first asked for, then kept.
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

/** What may be asked for, by its path on the port. Nothing else is ever opened. */
const files: Readonly<Record<string, { name: string; type: string }>> = {
  '/': { name: 'index.html', type: 'text/html; charset=utf-8' },
  '/dashboard.js': { name: 'dashboard.js', type: 'text/javascript; charset=utf-8' },
  '/dashboard.css': { name: 'dashboard.css', type: 'text/css; charset=utf-8' },
  '/icon.svg': { name: 'icon.svg', type: 'image/svg+xml' },
};

export interface PageFile {
  type: string;
  content: Buffer;
  /** Changes with the content. */
  etag: string;
}

export class PageFiles {
  readonly #read = new Map<string, Promise<PageFile>>();

  /** Undefined for a path that is none of the page's. */
  get(path: string): Promise<PageFile> | undefined {
    if (!Object.hasOwn(files, path)) return undefined;
    const reading = this.#read.get(path) ?? readPageFile(files[path]);
    this.#read.set(path, reading);
    return reading;
  }
}

async function readPageFile({ name, type }: { name: string; type: string }): Promise<PageFile> {
  const content = await readFile(builtFile(name));
  const etag = `"${createHash('sha256').update(content).digest('hex').slice(0, 16)}"`;
  return { type, content, etag };
}

/** In dist, also where this runs from its sources, in tests. */
function builtFile(name: string): string {
  const built = fileURLToPath(new URL(`../../../web/dashboard/${name}`, import.meta.url));
  const fromSources = fileURLToPath(new URL(`../../../dist/web/dashboard/${name}`, import.meta.url));
  return existsSync(fromSources) ? fromSources : built;
}

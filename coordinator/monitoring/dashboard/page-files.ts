// Serves the dashboard page's built files. Each file is read when it is first requested, then cached.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { builtFile } from '../../../shared/built-file.js';

/** Files by request path. No other file is ever opened. */
const files: Readonly<Record<string, { name: string; type: string }>> = {
  '/': { name: 'index.html', type: 'text/html; charset=utf-8' },
  '/dashboard.js': { name: 'dashboard.js', type: 'text/javascript; charset=utf-8' },
  '/dashboard.css': { name: 'dashboard.css', type: 'text/css; charset=utf-8' },
  '/icon.svg': { name: 'icon.svg', type: 'image/svg+xml' },
};

export interface PageFile {
  type: string;
  content: Buffer;
  /** HTTP entity tag; changes when the content changes. */
  etag: string;
}

export class PageFiles {
  readonly #read = new Map<string, Promise<PageFile>>();

  /** Returns the file at a path, or undefined if the path is not one of the page's files. */
  get(path: string): Promise<PageFile> | undefined {
    if (!Object.hasOwn(files, path)) return undefined;
    const reading = this.#read.get(path) ?? readPageFile(files[path]);
    this.#read.set(path, reading);
    return reading;
  }
}

async function readPageFile({ name, type }: { name: string; type: string }): Promise<PageFile> {
  const content = await readFile(builtFile(`../../../web/dashboard/${name}`, import.meta.url));
  const etag = `"${createHash('sha256').update(content).digest('hex').slice(0, 16)}"`;
  return { type, content, etag };
}

// Serves programs for browsers on loopback, bundled from TypeScript, and an empty page that loads them.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { browserPlatform } from '../../web/browser-platform.mjs';

/** Headers that make the page cross-origin isolated, so that its threads can share memory. */
export const isolationHeaders = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
};

const root = fileURLToPath(new URL('../..', import.meta.url));
const emptyPage = '<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>Test</title></html>';
const contentTypes: Record<string, string> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.wasm': 'application/wasm',
};

export interface ServedPrograms {
  /** Address of the empty page, which ends with a slash. */
  url: string;
  close(): Promise<void>;
}

/**
 * Bundles programs as modules and serves them as `/NAME.js`. Fails if a program depends on Node.js.
 * @param programs sources by name, relative to the repository
 * @param routes contents of other files by path
 */
export async function servePrograms(
  programs: Readonly<Record<string, string>>,
  options: { routes?: Readonly<Record<string, string | Uint8Array>>; headers?: Readonly<Record<string, string>> } = {},
): Promise<ServedPrograms> {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: programs,
    bundle: true,
    splitting: true,
    write: false,
    outdir: '/',
    platform: 'browser',
    format: 'esm',
    plugins: [browserPlatform],
  });
  const contents = new Map<string, string | Uint8Array>([
    ['/', emptyPage],
    ...outputFiles.map((file) => [file.path, file.contents] as const),
    ...Object.entries(options.routes ?? {}),
  ]);
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url!, 'http://localhost');
    const content = contents.get(pathname);
    const type = contentTypes[path.extname(pathname) || '.html'];
    response.writeHead(content === undefined ? 404 : 200, { ...options.headers, 'content-type': type });
    response.end(content);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

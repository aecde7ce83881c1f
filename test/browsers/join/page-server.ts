// Serves the page that joins a run, built with a scripted worker, with the headers that the coordinator sends.
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import type { JoinAbout, JoinFacts } from '../../../shared/monitoring/join.js';

const scriptedWorker = fileURLToPath(new URL('scripted-start-worker.ts', import.meta.url));
const file = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

export const facts: JoinFacts = {
  network: 'resnet20',
  dataset: 'CIFAR-10',
  imageCount: 50_000,
  classCount: 10,
  totalSteps: 1_000,
  step: 40,
  organizer: 'ada on lab-7',
  expires: '2026-12-01T12:00:00.000Z',
  bytesPerStep: 1_090_000,
  engine: 'wasm',
};

export interface PageServer {
  port: number;
  /** The answer of /join/about; undefined to fail. */
  about: JoinAbout | undefined;
  /** Whether the page is cross-origin isolated. */
  isIsolated: boolean;
  /** Paths and headers of all requests, as text. */
  requests: string[];
  close(): void;
}

async function buildPage(): Promise<Map<string, Uint8Array>> {
  const { outputFiles } = await build({
    entryPoints: [
      { in: file('../../../web/join/main.tsx'), out: 'join' },
      { in: file('../../../web/join/styles.css'), out: 'join' },
    ],
    outdir: '/',
    bundle: true,
    write: false,
    format: 'esm',
    jsx: 'automatic',
    jsxImportSource: 'preact',
    plugins: [
      {
        name: 'scripted worker',
        setup(esbuild) {
          esbuild.onResolve({ filter: /\/tab\/start-worker\.js$/ }, () => ({ path: scriptedWorker }));
        },
      },
    ],
  });
  return new Map(outputFiles.map(({ path, contents }) => [path, contents]));
}

/** Serves the page at `/join`, and at `/lab/join` as a proxy would. */
export async function servePage(): Promise<PageServer> {
  const built = await buildPage();
  const html = await readFile(file('../../../web/join/index.html'));
  const icon = await readFile(file('../../../web/dashboard/icon.svg'));
  const contents: Record<string, [type: string, content: Uint8Array]> = {
    '/join': ['text/html; charset=utf-8', html],
    '/join/join.js': ['text/javascript', built.get('/join.js')!],
    '/join/join.css': ['text/css', built.get('/join.css')!],
    '/join/icon.svg': ['image/svg+xml', icon],
  };
  const http = createServer((request, response) => {
    server.requests.push(`${request.method} ${request.url} ${JSON.stringify(request.headers)}`);
    const { pathname } = new URL(request.url!.replace(/^\/lab/, ''), 'http://localhost');
    setHeaders(response, server.isIsolated);
    if (pathname === '/join/about' && server.about !== undefined) {
      response.setHeader('content-type', 'application/json').end(JSON.stringify(server.about));
    } else if (Object.hasOwn(contents, pathname)) {
      const [type, content] = contents[pathname];
      response.setHeader('content-type', type).end(content);
    } else {
      response.writeHead(404).end();
    }
  });
  const server: PageServer = {
    port: 0,
    about: { problem: null, ...facts },
    isIsolated: true,
    requests: [],
    close: () => void http.close(),
  };
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  server.port = (http.address() as AddressInfo).port;
  return server;
}

function setHeaders(response: ServerResponse, isIsolated: boolean): void {
  response.setHeader(
    'content-security-policy',
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; connect-src 'self'; " +
      "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  );
  response.setHeader('cross-origin-resource-policy', 'same-origin');
  if (!isIsolated) return;
  response.setHeader('cross-origin-opener-policy', 'same-origin');
  response.setHeader('cross-origin-embedder-policy', 'require-corp');
}

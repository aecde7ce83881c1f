// The page of a join link, its scripts and /join/about, served from a folder with placeholders.
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer, request, type IncomingMessage } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { setStrictHeaders } from '../../../../coordinator/connections/http/strict-headers.js';
import { JoinRoutes } from '../../../../coordinator/connections/join/join-routes.js';
import { openChromiumOrReason, openPage } from '../../../support/chromium.js';
import { temporaryFolder } from '../../../support/temporary-folder.js';

const files = { 'join.html': '<!doctype html>', 'compute.js': 'export {};', 'kernels.wasm': '\0asm' };

/**
 * Serves a folder with files, next to a secret file. Returns the server's port.
 * @param onRequest called with each request
 */
async function serve(
  allowedOrigins: string[] = [],
  written: Record<string, string | Uint8Array> = files,
  onRequest: (request: IncomingMessage) => void = () => undefined,
): Promise<number> {
  const root = await temporaryFolder();
  const folder = path.join(root, 'browser');
  await mkdir(folder);
  await writeFile(path.join(root, 'secret.js'), 'secret');
  for (const [name, content] of Object.entries(written)) await writeFile(path.join(folder, name), content);
  const routes = new JoinRoutes({
    about: (id) => ({ problem: id === 'abc' ? 'revoked' : 'unknown' }),
    allowedOrigins,
    folder: pathToFileURL(`${folder}/`),
  });
  const http = createServer((request_, response) => {
    onRequest(request_);
    setStrictHeaders(request_, response);
    if (!routes.answer(request_, response)) response.writeHead(418).end();
  });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  onTestFinished(() => {
    http.closeAllConnections();
    http.close();
  });
  return (http.address() as AddressInfo).port;
}

const get = (port: number, where: string, init?: RequestInit) => fetch(`http://127.0.0.1:${port}${where}`, init);

describe('a join link', () => {
  it.each([
    ['/join', 'text/html; charset=utf-8', files['join.html']],
    ['/join/compute.js', 'text/javascript; charset=utf-8', files['compute.js']],
    ['/join/kernels.wasm', 'application/wasm', files['kernels.wasm']],
  ])('finds %s as %s', async (where, type, content) => {
    const port = await serve();
    const response = await get(port, where);
    expect([response.status, response.headers.get('content-type')]).toEqual([200, type]);
    expect(await response.text()).toBe(content);
    const etag = response.headers.get('etag')!;
    const again = await get(port, where, { headers: { 'if-none-match': etag } });
    expect([again.status, await again.text()]).toEqual([304, '']);
    const head = await get(port, where, { method: 'HEAD' });
    expect([head.status, head.headers.get('etag'), await head.text()]).toEqual([200, etag, '']);
  });

  it.each([
    ['gzip, deflate, br', 'gzip'],
    ['identity', null],
  ])('gets files as a browser that accepts %s can read them', async (accepted, encoding) => {
    const port = await serve();
    const response = await get(port, '/join/compute.js', { headers: { 'accept-encoding': accepted } });
    expect(response.headers.get('content-encoding')).toBe(encoding);
    expect(response.headers.get('vary')).toContain('accept-encoding');
    expect(await response.text()).toBe(files['compute.js']);
  });

  it('gets isolated pages and worker scripts, which may compile WebAssembly but evaluate no text', async () => {
    const port = await serve();
    for (const where of ['/join', '/join/compute.js']) {
      const { headers } = await get(port, where);
      expect(headers.get('cross-origin-opener-policy')).toBe('same-origin');
      expect(headers.get('cross-origin-embedder-policy')).toBe('require-corp');
      expect(headers.get('cross-origin-resource-policy')).toBe('same-origin');
      expect(headers.get('referrer-policy')).toBe('no-referrer');
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      const policy = headers.get('content-security-policy')!;
      expect(policy).toContain("script-src 'self' 'wasm-unsafe-eval';");
      expect(policy).toContain("worker-src 'self';");
      expect(policy).toContain("frame-ancestors 'none'");
      expect(policy).not.toMatch(/unsafe-inline|[^-]unsafe-eval|\*/);
    }
  });

  it('leads to what is said about it, by its id', async () => {
    const port = await serve();
    const about = async (query: string) => (await get(port, `/join/about${query}`)).json();
    expect(await about('?link=abc')).toEqual({ problem: 'revoked' });
    expect(await about('?link=other')).toEqual({ problem: 'unknown' });
    expect(await about('')).toEqual({ problem: 'unknown' });
    expect((await get(port, '/join/about?link=abc')).headers.get('cache-control')).toBe('no-store');
  });

  // fetch() would resolve the dots itself.
  it.each(['/join/../secret.js', '/join/..%2F./secret.js', '/join/%2e%2e/secret.js', '/join/', '/join/other.js'])(
    'does not lead to other files, such as %s',
    async (where) => {
      const attempt = request({ host: '127.0.0.1', port: await serve(), path: where }).end();
      const [response] = (await once(attempt, 'response')) as [NodeJS.ReadableStream & { statusCode: number }];
      response.resume();
      expect(response.statusCode).toBe(404);
    },
  );

  it('leaves other paths and methods to others', async () => {
    const port = await serve();
    expect((await get(port, '/joined')).status).toBe(418);
    expect((await get(port, '/')).status).toBe(418);
    expect((await get(port, '/join', { method: 'POST' })).status).toBe(418);
  });

  it('leads to an error if the folder is gone, and the server stays up', async () => {
    const routes = new JoinRoutes({
      about: () => ({ problem: 'unknown' }),
      allowedOrigins: [],
      folder: pathToFileURL('/nowhere/browser/'),
    });
    const http = createServer((request_, response) => routes.answer(request_, response));
    http.listen(0, '127.0.0.1');
    await once(http, 'listening');
    onTestFinished(() => void http.close());
    const response = await get((http.address() as AddressInfo).port, '/join');
    expect(response.status).toBe(500);
    expect(await response.json()).toEqual({ error: expect.stringContaining('ENOENT') });
  });
});

describe("another site's page", () => {
  const origin = 'https://www.example.org';

  it('may not load the scripts unless its origin is allowed', async () => {
    const headersWith = async (allowed: string[], from: string) => {
      const { headers } = await get(await serve(allowed), '/join/compute.js', { headers: { origin: from } });
      return ['access-control-allow-origin', 'cross-origin-resource-policy', 'vary'].map((name) => headers.get(name));
    };
    expect(await headersWith([], origin)).toEqual([null, 'same-origin', 'accept-encoding']);
    expect(await headersWith([origin], origin)).toEqual([origin, 'cross-origin', 'origin, accept-encoding']);
    expect(await headersWith([origin], 'https://evil.example')).toEqual([
      null,
      'cross-origin',
      'origin, accept-encoding',
    ]);
  });
});

describe('a browser that opens a join link', () => {
  /** Reports what the page and a worker started by its worker may do. */
  const scripts = {
    'join.html': '<!doctype html><link rel="icon" href="data:," /><script type="module" src="join/page.js"></script>',
    'page.js': `
      const { ability } = await import('./ability.js');
      const worker = new Worker('join/outer.js', { type: 'module' });
      const output = document.createElement('output');
      worker.onmessage = async ({ data }) => {
        output.textContent = JSON.stringify({ page: await ability(), worker: data });
        document.body.append(output);
      };`,
    'outer.js': `
      const inner = new Worker('inner.js', { type: 'module' });
      inner.onmessage = ({ data }) => postMessage(data);
      inner.postMessage(new SharedArrayBuffer(8));`,
    'inner.js': `
      import { ability } from './ability.js';
      onmessage = async ({ data }) => postMessage({ ...(await ability()), sharedBytes: data.byteLength });`,
    'ability.js': `
      export async function ability() {
        const attempt = async (action) => action().then(() => 'allowed', (error) => error.name);
        return {
          isIsolated: crossOriginIsolated,
          wasm: await attempt(() => WebAssembly.compileStreaming(fetch(new URL('kernels.wasm', import.meta.url)))),
          text: await attempt(async () => eval('1')),
          otherSite: await attempt(() => fetch('http://127.0.0.2:9/')),
        };
      }`,
    // The smallest module: its magic number and version.
    'kernels.wasm': Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0),
  };

  it('can share memory between threads and compile WebAssembly, but neither evaluate text nor send the token', async (context) => {
    const browser = await openChromiumOrReason('the page of a join link in a browser');
    if (typeof browser === 'string') {
      context.skip(browser);
      return;
    }
    onTestFinished(() => browser.close());
    const requests: string[] = [];
    const port = await serve([], scripts, ({ url, rawHeaders }) => requests.push([url, ...rawHeaders].join('\n')));
    const { page } = await openPage(browser, { width: 800, height: 600 });
    await page.goto(`http://127.0.0.1:${port}/join#the-token`);
    const seen: unknown = JSON.parse(await page.locator('output').innerText());
    const ability = { isIsolated: true, wasm: 'allowed', text: 'EvalError', otherSite: 'TypeError' };
    expect(seen).toEqual({ page: ability, worker: { ...ability, sharedBytes: 8 } });
    // The page, four scripts and the kernels, some of them once per thread.
    expect(new Set(requests.map((each) => each.split('\n')[0]))).toEqual(
      new Set(['/join', '/join/page.js', '/join/ability.js', '/join/outer.js', '/join/inner.js', '/join/kernels.wasm']),
    );
    expect(requests.filter((each) => /the-token|^referer$/im.test(each))).toEqual([]);
  });
});

// What a join link opens, served to anyone: the page at /join, its scripts under /join/, and /join/about. They contain no
// token: it is in the link's fragment, which browsers do not send.
import { readdirSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { fileURLToPath } from 'node:url';
import { builtFile } from '../../../shared/built-file.js';
import type { JoinAbout } from '../../../shared/monitoring/join.js';
import { PageFiles, pathOf, replyJson } from '../http/page-files.js';
import type { ServedPages } from '../http/served-pages.js';

/**
 * `wasm-unsafe-eval` allows compiling WebAssembly and nothing else. A worker script obeys the policy of its own response,
 * so the scripts are sent with these headers too. With `require-corp`, and the opener policy that strict-headers.ts sets,
 * the page can share memory between threads.
 */
const pageHeaders: Readonly<Record<string, string>> = {
  'content-security-policy':
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; connect-src 'self'; " +
    "img-src 'self' data:; font-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
  'cross-origin-embedder-policy': 'require-corp',
};

export interface JoinRoutesOptions {
  /** Returns what is said about the link with this id. */
  about: (id: string) => JoinAbout;
  /** Origins of other sites whose pages may load the scripts. */
  allowedOrigins: readonly string[];
  /** Folder of the page and the scripts; by default, the built one. */
  folder?: URL | undefined;
}

export class JoinRoutes implements ServedPages {
  readonly #options: JoinRoutesOptions;
  readonly #files = new PageFiles();
  #names: ReadonlySet<string> | undefined;

  constructor(options: JoinRoutesOptions) {
    this.#options = options;
  }

  answer(request: IncomingMessage, response: ServerResponse): boolean {
    const path = pathOf(request);
    if (request.method !== 'GET' && request.method !== 'HEAD') return false;
    if (path !== '/join' && !path.startsWith('/join/')) return false;
    for (const [name, value] of Object.entries(pageHeaders)) response.setHeader(name, value);
    this.#allowOtherSites(request, response);
    const name = path === '/join' ? 'join.html' : path.slice('/join/'.length);
    if (name === 'about') {
      const id = new URL(request.url ?? '', 'http://localhost').searchParams.get('link') ?? '';
      replyJson(response, 200, this.#options.about(id));
    } else {
      this.#files.send(request, response, name, () => this.#locate(name));
    }
    return true;
  }

  /** Returns the URL of a file in the folder. No other file is ever opened. */
  #locate(name: string): URL | undefined {
    const { folder = new URL('.', builtFile('../../../browser/join.html', import.meta.url)) } = this.#options;
    this.#names ??= new Set(readdirSync(fileURLToPath(folder)));
    return this.#names.has(name) ? new URL(name, folder) : undefined;
  }

  /** Permits pages of other sites to load the response, if any site may. */
  #allowOtherSites({ headers }: IncomingMessage, response: ServerResponse): void {
    const { allowedOrigins } = this.#options;
    if (allowedOrigins.length === 0) return;
    response.setHeader('cross-origin-resource-policy', 'cross-origin');
    response.setHeader('vary', 'origin');
    const { origin = '' } = headers;
    if (allowedOrigins.includes(origin)) response.setHeader('access-control-allow-origin', origin);
  }
}

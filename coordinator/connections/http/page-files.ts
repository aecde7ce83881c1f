// Serves built files to browsers, compressed. Each file is read when it is first requested, then cached.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import path from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { messageOf } from '../../../shared/errors.js';

const compress = promisify(gzip);

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.wasm': 'application/wasm',
  '.json': 'application/json',
  '.txt': 'text/plain; charset=utf-8',
};

interface PageFile {
  type: string;
  content: Buffer;
  gzipped: Buffer;
  /** HTTP entity tag; changes when the content changes. Weak, because it is the same with and without compression. */
  etag: string;
}

export class PageFiles {
  readonly #read = new Map<string, Promise<PageFile>>();

  /**
   * Sends a file, or 304 if the browser has it.
   * @param locate returns the file's URL, or undefined if it does not exist; if it throws, the answer is 500 with the
   * error's message
   */
  send(request: IncomingMessage, response: ServerResponse, name: string, locate: () => URL | undefined): void {
    void this.#send(request, response, name, locate);
  }

  async #send(
    request: IncomingMessage,
    response: ServerResponse,
    name: string,
    locate: () => URL | undefined,
  ): Promise<void> {
    try {
      const reading = this.#read.get(name) ?? this.#readFile(name, locate());
      if (reading === undefined) return replyJson(response, 404, { error: 'not found' });
      const { type, content, gzipped, etag } = await reading;
      const { 'if-none-match': known, 'accept-encoding': accepted = '' } = request.headers;
      const headers = { 'content-type': type, etag, 'cache-control': 'no-cache' };
      response.appendHeader('vary', 'accept-encoding');
      if (known === etag) {
        response.writeHead(304, headers).end();
        return;
      }
      const isGzipped = /\bgzip\b/.test(accepted);
      response.writeHead(200, isGzipped ? { ...headers, 'content-encoding': 'gzip' } : headers);
      response.end(request.method === 'HEAD' ? undefined : isGzipped ? gzipped : content);
    } catch (error) {
      replyJson(response, 500, { error: messageOf(error) });
    }
  }

  #readFile(name: string, url: URL | undefined): Promise<PageFile> | undefined {
    if (url === undefined) return undefined;
    const reading = readPageFile(url);
    this.#read.set(name, reading);
    return reading;
  }
}

async function readPageFile(file: URL): Promise<PageFile> {
  const content = await readFile(file);
  const etag = `W/"${createHash('sha256').update(content).digest('hex').slice(0, 16)}"`;
  return {
    type: types[path.extname(file.pathname)] ?? 'application/octet-stream',
    content,
    gzipped: await compress(content),
    etag,
  };
}

export function replyJson(
  response: ServerResponse,
  status: number,
  body: object | null,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers });
  response.end(`${JSON.stringify(body)}\n`);
}

/** Returns the path of a request without its query. */
export function pathOf({ url = '/' }: IncomingMessage): string {
  return url.split('?')[0];
}

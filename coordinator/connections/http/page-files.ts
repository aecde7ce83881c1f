// Serves built files to browsers. Each file is read when it is first requested, then cached.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import path from 'node:path';
import { messageOf } from '../../../shared/errors.js';

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
  /** HTTP entity tag; changes when the content changes. */
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
      const { type, content, etag } = await reading;
      const isKnown = request.headers['if-none-match'] === etag;
      response.writeHead(isKnown ? 304 : 200, { 'content-type': type, etag, 'cache-control': 'no-cache' });
      response.end(isKnown || request.method === 'HEAD' ? undefined : content);
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
  const etag = `"${createHash('sha256').update(content).digest('hex').slice(0, 16)}"`;
  return { type: types[path.extname(file.pathname)] ?? 'application/octet-stream', content, etag };
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

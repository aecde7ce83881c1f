// What every answer over HTTP says to browsers, whatever it answers: scripts and styles of ours alone, in nobody's frame,
// nothing guessed, nothing kept, nothing told to other sites.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { hostNameIn, isLoopback } from './http-access.js';

const strictHeaders: Readonly<Record<string, string>> = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; font-src 'self'; " +
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
};

/** Before anything else is written. */
export function setStrictHeaders(request: IncomingMessage, response: ServerResponse): void {
  for (const [name, value] of Object.entries(strictHeaders)) response.setHeader(name, value);
  // Over plain HTTP from elsewhere browsers pass this one over, with an error in the page's console.
  const isTrustworthy = 'encrypted' in request.socket || isLoopback(hostNameIn(request.headers));
  if (isTrustworthy) response.setHeader('cross-origin-opener-policy', 'same-origin');
}

/** An answer by hand, where Node has no response to write it with. */
export function plainAnswer(status: string, text: string): string {
  const headers = { ...strictHeaders, 'content-type': 'text/plain; charset=utf-8', connection: 'close' };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status}\r\n${lines.join('')}content-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`;
}

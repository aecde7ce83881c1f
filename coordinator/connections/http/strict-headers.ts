// Security headers for every HTTP response. They tell browsers to run only scripts and styles served by this port, and
// not to show its pages in frames, guess content types, cache responses (unless a route overrides this), or send a
// referrer.
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

/**
 * Sets the security headers. Must be called before anything else is written to the response.
 * @param publicUrl the port's public URL, if it has one
 */
export function setStrictHeaders(request: IncomingMessage, response: ServerResponse, publicUrl?: URL): void {
  for (const [name, value] of Object.entries(strictHeaders)) response.setHeader(name, value);
  // Over plain HTTP from other machines, browsers ignore this header and log an error to the console.
  const isTrustworthy = isEncrypted(request, publicUrl) || isLoopback(hostNameIn(request.headers));
  if (isTrustworthy) response.setHeader('cross-origin-opener-policy', 'same-origin');
}

/** Whether the browser uses HTTPS: with this port, or with the proxy at its public URL. */
export function isEncrypted({ socket }: IncomingMessage, publicUrl: URL | undefined): boolean {
  return 'encrypted' in socket || publicUrl?.protocol === 'https:';
}

/** Returns a complete HTTP response as text, for sockets without a ServerResponse. */
export function plainAnswer(status: string, text: string): string {
  const headers = { ...strictHeaders, 'content-type': 'text/plain; charset=utf-8', connection: 'close' };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status}\r\n${lines.join('')}content-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`;
}

// The address by which others reach the coordinator, if it is not the one that the coordinator listens on. Pure.
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import { LockstepError } from '../../../shared/errors.js';
import { hostNameIn, isLoopback } from './http-access.js';

/** Parses the option `publicUrl`. Throws `bad-option`. */
export function parsePublicUrl(text: string): URL {
  const url = webUrl(text);
  if (url === undefined || url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw new LockstepError(
      'bad-option',
      `\`publicUrl\` is ${text}: it must be an http:// or https:// address, such as https://lab.example.org/train`,
    );
  }
  return url;
}

/** Parses a value of the option `allowedOrigins`. Throws `bad-option`. */
export function parseOrigin(text: string): string {
  const url = webUrl(text);
  if (url?.origin === text.replace(/\/$/, '').toLowerCase()) return url.origin;
  throw new LockstepError(
    'bad-option',
    `\`allowedOrigins\` contains ${text}: each must be a scheme and a host without a path, such as https://www.example.org`,
  );
}

function webUrl(text: string): URL | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  return url?.protocol === 'http:' || url?.protocol === 'https:' ? url : undefined;
}

/** Returns the URL as text, without a slash at the end. */
export function publicUrlText(publicUrl: URL): string {
  return publicUrl.origin + prefixOf(publicUrl);
}

/** Returns the URL's path without a slash at the end; empty if it has none. */
function prefixOf({ pathname }: URL): string {
  return pathname.replace(/\/+$/, '');
}

/** Removes the public URL's path from a request's path. Some proxies pass it on, others do not. */
export function withoutPrefix(path: string, publicUrl: URL): string {
  const prefix = prefixOf(publicUrl);
  const rest = path.startsWith(prefix) ? path.slice(prefix.length) : path;
  if (rest.startsWith('/')) return rest;
  return rest === '' || rest.startsWith('?') ? `/${rest}` : path;
}

/**
 * Returns why a request is refused because of its Host header; undefined if it is accepted. The host must be the public
 * URL's, or an address: another name may be one that another site makes resolve to this machine (DNS rebinding).
 */
export function hostProblem(headers: IncomingHttpHeaders, publicUrl: URL | undefined): string | undefined {
  if (publicUrl === undefined) return undefined;
  const name = hostNameIn(headers);
  if (name === publicUrl.hostname || isLoopback(name) || isIP(name) !== 0) return undefined;
  return `the request is for the host ${name}, but this coordinator's public URL is ${publicUrl.href}`;
}

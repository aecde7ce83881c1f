// Authorizes HTTP requests and WebSocket upgrades by their token and, for browsers, their origin. Pure: reads headers
// only.
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import { forbidden, mayDo, type Action, type TokenHolder, type TokenTable } from '../tokens.js';

/**
 * Returns the name of the login cookie. It includes the port because browsers send a host's cookies to all of its
 * ports.
 */
function cookieNameAt({ host = '' }: Pick<IncomingHttpHeaders, 'host'>): string {
  const port = /:(\d+)$/.exec(host)?.[1];
  return port === undefined ? 'lockstep-token' : `lockstep-token-${port}`;
}

/** Current access rules of the port. */
export interface PortAccess {
  tokens: TokenTable;
  /**
   * Whether only this machine can reach the port. If so, reading requires no token, and controlling the run requires
   * one only if some token permits it.
   */
  isLoopback: boolean;
  /** The address by which others reach the port, if it is not the one that the coordinator listens on. */
  publicUrl?: URL | undefined;
}

export type Access =
  /** The holder is undefined if no token was needed and none was presented. */
  | { allowed: true; holder: TokenHolder | undefined }
  /** 401 if the token is missing or unknown; 403 if the request is refused for another reason. */
  | { allowed: false; status: 401 | 403; message: string };

/** Returns the additional headers for a refusal: WWW-Authenticate for a 401, none otherwise. */
export function challengeOf({ status }: { status: number }, headers: IncomingHttpHeaders): Record<string, string> {
  if (status !== 401) return {};
  const error = bearerIn(headers) === undefined ? '' : ', error="invalid_token"';
  return { 'www-authenticate': `Bearer realm="lockstep"${error}` };
}

/** Whether an address is reachable from this machine only: 127.0.0.0/8, ::1 or localhost. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

/**
 * Decides whether a request may read the run's state or control the run. Joining is decided elsewhere: workers present
 * their token in the hello.
 */
export function accessTo(action: Exclude<Action, 'join'>, headers: IncomingHttpHeaders, port: PortAccess): Access {
  const refuse = (status: 401 | 403, message: string): Access => ({ allowed: false, status, message });
  if (!isSameOrigin(headers, port.publicUrl)) return refuse(403, foreignOrigin);
  const token = tokenIn(headers);
  const holder = token === undefined ? undefined : port.tokens.holderOf(token);
  if (holder !== undefined) {
    return mayDo(holder.role, action) ? { allowed: true, holder } : refuse(403, forbidden(holder, action));
  }
  // An unknown token in a cookie is ignored: browsers also send the cookies of earlier runs.
  if (bearerIn(headers) !== undefined) return refuse(401, 'the token is unknown');
  const isOpen = action === 'read' || !port.tokens.allow(action);
  // The check of Host prevents DNS rebinding, where another site's host name resolves to 127.0.0.1.
  if (isOpen && port.isLoopback && isLoopback(hostNameIn(headers))) return { allowed: true, holder: undefined };
  if (port.tokens.isEmpty) {
    return refuse(403, 'this coordinator has no token that allows this: start it with LOCKSTEP_TOKEN or `tokenFile`');
  }
  return refuse(401, 'a token is required (Authorization: Bearer TOKEN)');
}

export const foreignOrigin = "the request comes from another site's page: its Origin does not match its Host";

/**
 * Whether the request comes from a page served by this port, or has no Origin header. Programs other than browsers send
 * none. Browsers always send it with WebSocket upgrades and POST requests; other sites' pages can send GET requests
 * without it, but cannot read the responses.
 * @param publicUrl the port's public URL; its pages are recognized even if a proxy has replaced the Host header
 */
export function isSameOrigin({ origin, host }: IncomingHttpHeaders, publicUrl?: URL): boolean {
  if (origin === undefined || origin === publicUrl?.origin) return true;
  if (host === undefined || !URL.canParse(origin) || host.toLowerCase() === publicUrl?.host) return false;
  return new URL(origin).host === host.toLowerCase();
}

/** Returns the token in the `Authorization: Bearer` header (programs) or in the login cookie (browsers). */
export function tokenIn(headers: IncomingHttpHeaders): string | undefined {
  const bearer = bearerIn(headers);
  if (bearer !== undefined) return bearer;
  const cookieName = cookieNameAt(headers);
  for (const pair of (headers.cookie ?? '').split(';')) {
    const [name, value = ''] = pair.trim().split('=', 2);
    if (name === cookieName) return Buffer.from(value, 'base64url').toString();
  }
  return undefined;
}

function bearerIn(headers: IncomingHttpHeaders): string | undefined {
  return /^Bearer +(\S+)$/i.exec(headers.authorization ?? '')?.[1];
}

/**
 * Returns the Set-Cookie header that logs a browser in, or logs it out if the token is empty. Scripts cannot read the
 * cookie (HttpOnly), and requests from other sites' pages do not include it (SameSite).
 * @param requestHeaders headers of the request being answered
 * @param isSecure whether the request came over HTTPS
 */
export function tokenCookie(
  token: string,
  requestHeaders: Pick<IncomingHttpHeaders, 'host'>,
  isSecure: boolean,
): string {
  const value = Buffer.from(token).toString('base64url');
  const age = token === '' ? '; Max-Age=0' : '';
  return `${cookieNameAt(requestHeaders)}=${value}; Path=/; HttpOnly; SameSite=Strict${isSecure ? '; Secure' : ''}${age}`;
}

/**
 * Returns the host name in the Host header, without the port or brackets; an empty string if the header is missing or
 * invalid.
 */
export function hostNameIn({ host = '' }: IncomingHttpHeaders): string {
  const url = `http://${host}`;
  return URL.canParse(url) ? new URL(url).hostname.replace(/^\[|\]$/g, '') : '';
}

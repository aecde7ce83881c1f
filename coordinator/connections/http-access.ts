// What an HTTP request or a WebSocket upgrade may do: the token that it shows, and where a browser says it comes from.
// Pure: looks at headers alone.
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import { mayDo, type Action, type TokenHolder, type TokenTable } from './tokens.js';

/** Browsers send a host's cookies to all its ports: each port's has a name of its own. */
function cookieNameAt({ host = '' }: Pick<IncomingHttpHeaders, 'host'>): string {
  const port = /:(\d+)$/.exec(host)?.[1];
  return port === undefined ? 'lockstep-token' : `lockstep-token-${port}`;
}

/** What the answer depends on beside the request. */
export interface PortAccess {
  tokens: TokenTable;
  /**
   * Whether only this machine can reach the port: then reading needs no token, and operating only where there is one that
   * allows it.
   */
  isLoopback: boolean;
}

export type Access =
  /** The holder is undefined where no token was needed and none was shown. */
  | { allowed: true; holder: TokenHolder | undefined }
  /** 401: a token would help. 403: this one does not. */
  | { allowed: false; status: 401 | 403; message: string };

/** What a refusal says to programs beside its sentence: of a 401, which kind of token would help. */
export function challengeOf({ status }: { status: number }, headers: IncomingHttpHeaders): Record<string, string> {
  if (status !== 401) return {};
  const wrong = bearerIn(headers) === undefined ? '' : ', error="invalid_token"';
  return { 'www-authenticate': `Bearer realm="lockstep"${wrong}` };
}

/** 127.0.0.0/8, ::1 and localhost are reached from this machine alone. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

/** Whether a request may read, or may operate the run. Workers show their token in the hello instead. */
export function accessTo(action: Exclude<Action, 'join'>, headers: IncomingHttpHeaders, door: PortAccess): Access {
  if (!isSameOrigin(headers)) return { allowed: false, status: 403, message: foreignOrigin };
  const shown = tokenIn(headers);
  const holder = shown === undefined ? undefined : door.tokens.holderOf(shown);
  // A browser sends its cookie whether or not anybody means it: one of an earlier run is as good as none.
  if (holder === undefined && bearerIn(headers) !== undefined) {
    return { allowed: false, status: 401, message: 'a token that is not known here was shown' };
  }
  if (holder !== undefined) {
    if (mayDo(holder.role, action)) return { allowed: true, holder };
    return {
      allowed: false,
      status: 403,
      message: `the token of ${holder.name}, a ${holder.role}, does not allow to ${action}`,
    };
  }
  // The name is looked at too: a page that has its own name point to 127.0.0.1 is not this machine's user.
  const isOpen = action === 'read' || !door.tokens.allow(action);
  if (isOpen && door.isLoopback && isLoopback(hostNameIn(headers))) {
    return { allowed: true, holder: undefined };
  }
  if (door.tokens.isEmpty) {
    return {
      allowed: false,
      status: 403,
      message: 'nobody may do this: start the coordinator with a token (LOCKSTEP_TOKEN or --token-file)',
    };
  }
  return { allowed: false, status: 401, message: 'show a token: Authorization: Bearer TOKEN' };
}

export const foreignOrigin = "the request comes from another site's page (Origin is not Host)";

/**
 * Whether a browser sent this from a page of ours. What is no browser says nothing of its origin and passes: another
 * site's page could not make it, as browsers let no script leave this header out.
 */
export function isSameOrigin(headers: IncomingHttpHeaders): boolean {
  const { origin, host } = headers;
  if (origin === undefined) return true;
  return host !== undefined && URL.canParse(origin) && new URL(origin).host === host.toLowerCase();
}

/** The token of `Authorization: Bearer`, which programs send, or of the cookie that a browser was given. */
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
 * The Set-Cookie line that lets a browser show a token from then on; an empty token takes it away again. No script reads
 * it (HttpOnly), and requests that another site's page makes go without it (SameSite).
 * @param asked the headers of the request that it answers
 * @param isSecure whether that came over https
 */
export function tokenCookie(token: string, asked: Pick<IncomingHttpHeaders, 'host'>, isSecure: boolean): string {
  const value = Buffer.from(token).toString('base64url');
  const age = token === '' ? '; Max-Age=0' : '';
  return `${cookieNameAt(asked)}=${value}; Path=/; HttpOnly; SameSite=Strict${isSecure ? '; Secure' : ''}${age}`;
}

/** The Host header's name without port and brackets; empty where there is none. */
export function hostNameIn({ host = '' }: IncomingHttpHeaders): string {
  const url = `http://${host}`;
  return URL.canParse(url) ? new URL(url).hostname.replace(/^\[|\]$/g, '') : '';
}

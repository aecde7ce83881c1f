import { describe, expect, it } from 'vitest';
import {
  accessTo,
  isLoopback,
  isSameOrigin,
  tokenCookie,
  tokenIn,
} from '../../../../coordinator/connections/http/http-access.js';
import { TokenTable } from '../../../../coordinator/connections/tokens.js';

const viewer = '77aa31e0b92c4f51';
const operator = '1f6e0d9a8c3b4752';
const worker = 'c2d5a1f09b7e4d38';
const tokens = TokenTable.parse(`wall viewer ${viewer}\nanna operator ${operator}\nrack worker ${worker}`, 'tokens');
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

describe('isLoopback', () => {
  it.each(['127.0.0.1', '127.1.2.3', '::1', 'localhost'])('is true for %s', (host) => {
    expect(isLoopback(host)).toBe(true);
  });

  it.each(['0.0.0.0', '::', '10.0.0.1', '128.0.0.1', '127.example.org', 'localhost.example.org', ''])(
    'is false for %j',
    (host) => {
      expect(isLoopback(host)).toBe(false);
    },
  );
});

describe('reading', () => {
  const outside = { tokens, isLoopback: false };
  const inside = { tokens, isLoopback: true };

  it.each(['127.0.0.1:7350', 'localhost:7350', '[::1]:7350'])('needs no token on loopback, reached as %s', (host) => {
    expect(accessTo('read', { host }, inside)).toEqual({ allowed: true, holder: undefined });
  });

  it.each([{ host: 'evil.example.org:7350' }, {}])('needs a token on loopback, reached with %j', (headers) => {
    expect(accessTo('read', headers, inside)).toMatchObject({ allowed: false, status: 401 });
  });

  it('needs a token on other addresses, whatever the Host header is', () => {
    expect(accessTo('read', { host: '127.0.0.1:7350' }, outside)).toEqual({
      allowed: false,
      status: 401,
      message: 'a token is required (Authorization: Bearer TOKEN)',
    });
  });

  it.each([
    [viewer, true],
    [operator, true],
    [worker, false],
  ])('with the token %s is allowed: %j', (token, allowed) => {
    expect(accessTo('read', bearer(token), outside)).toMatchObject(allowed ? { allowed } : { allowed, status: 403 });
  });

  it('with an unknown token is refused even if no token is needed', () => {
    const headers = { host: 'localhost:7350', ...bearer('guess') };
    expect(accessTo('read', headers, inside)).toMatchObject({ allowed: false, status: 401 });
  });
});

describe('operating', () => {
  const port = { tokens, isLoopback: true };
  const host = 'localhost:7350';

  it("needs an operator's token, even on loopback", () => {
    expect(accessTo('operate', { host, ...bearer(operator) }, port)).toEqual({
      allowed: true,
      holder: { name: 'anna', role: 'operator' },
    });
    expect(accessTo('operate', { host }, port)).toMatchObject({ allowed: false, status: 401 });
    expect(accessTo('operate', { host, ...bearer(viewer) }, port)).toEqual({
      allowed: false,
      status: 403,
      message: 'the token of wall has the role viewer, which may not control the run',
    });
  });

  it.each([TokenTable.none, TokenTable.ofWorkers('secret')])(
    'needs no token on loopback if there is no operator token, and is refused elsewhere',
    (none) => {
      expect(accessTo('operate', { host }, { tokens: none, isLoopback: true })).toEqual({
        allowed: true,
        holder: undefined,
      });
      const renamed = accessTo('operate', { host: 'evil.example.org' }, { tokens: none, isLoopback: true });
      expect(renamed).toMatchObject({ allowed: false });
      const outside = accessTo('operate', { host }, { tokens: none, isLoopback: false });
      expect(outside).toMatchObject({ allowed: false });
    },
  );

  it("from another site's page is refused, with or without a token", () => {
    const headers = { host, origin: 'https://example.org', ...bearer(operator) };
    expect(accessTo('operate', headers, port)).toMatchObject({ allowed: false, status: 403 });
  });
});

describe('a request', () => {
  it.each([
    [{ host: 'lab.example.org:7350' }, true],
    [{ host: 'lab.example.org:7350', origin: 'http://lab.example.org:7350' }, true],
    [{ host: 'LAB.example.org', origin: 'https://lab.example.org' }, true],
    [{ host: 'lab.example.org:7350', origin: 'http://lab.example.org:8000' }, false],
    [{ host: 'lab.example.org:7350', origin: 'https://lab.example.org.evil.example' }, false],
    [{ host: 'lab.example.org:7350', origin: 'null' }, false],
    [{ origin: 'http://lab.example.org' }, false],
  ])('with the headers %j has the same origin: %j', (headers, same) => {
    expect(isSameOrigin(headers)).toBe(same);
  });
});

describe('a request to a coordinator with a public URL', () => {
  const publicUrl = new URL('https://lab.example.org/train');

  it.each([
    [{ host: 'lab.example.org', origin: 'https://lab.example.org' }, true],
    // A proxy that replaces Host.
    [{ host: '127.0.0.1:7350', origin: 'https://lab.example.org' }, true],
    // The dashboard on the coordinator's own machine.
    [{ host: 'localhost:7350', origin: 'http://localhost:7350' }, true],
    [{ host: 'lab.example.org' }, true],
    [{ host: 'lab.example.org', origin: 'http://lab.example.org' }, false],
    [{ host: 'lab.example.org', origin: 'https://lab.example.org:8443' }, false],
    [{ host: 'lab.example.org', origin: 'https://evil.example' }, false],
  ])('with the headers %j has the same origin: %j', (headers, same) => {
    expect(isSameOrigin(headers, publicUrl)).toBe(same);
  });

  it('needs a token even if it comes from the same machine', () => {
    const port = { tokens, isLoopback: false, publicUrl };
    expect(accessTo('read', { host: '127.0.0.1:7350' }, port)).toMatchObject({ allowed: false, status: 401 });
    const fromPage = { host: 'lab.example.org', origin: 'https://lab.example.org', ...bearer(viewer) };
    expect(accessTo('read', fromPage, port)).toMatchObject({ allowed: true });
  });
});

describe('a token', () => {
  it('is read from Authorization or from a cookie, and Authorization takes precedence', () => {
    const cookie = tokenCookie('töken;=', {}, false).split(';', 1)[0];
    expect(tokenIn({})).toBeUndefined();
    expect(tokenIn({ authorization: 'Basic abc' })).toBeUndefined();
    expect(tokenIn({ authorization: 'bearer abc' })).toBe('abc');
    expect(tokenIn({ cookie: `theme=dark; ${cookie}` })).toBe('töken;=');
    expect(tokenIn({ cookie, authorization: 'Bearer abc' })).toBe('abc');
    expect(tokenIn({ cookie: 'not-lockstep-token=x' })).toBeUndefined();
  });

  it('in a cookie is not available to scripts or other sites, and is removed by an empty cookie', () => {
    expect(tokenCookie('abc', {}, true)).toBe('lockstep-token=YWJj; Path=/; HttpOnly; SameSite=Strict; Secure');
    expect(tokenCookie('', {}, false)).toBe('lockstep-token=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0');
  });

  it('in a cookie belongs to one port, and is ignored if it is unknown', () => {
    const first = { host: 'localhost:7350' };
    const cookie = tokenCookie(viewer, first, false).split(';', 1)[0];
    expect(tokenIn({ ...first, cookie })).toBe(viewer);
    expect(tokenIn({ host: 'localhost:7351', cookie })).toBeUndefined();
    const stale = { ...first, cookie: tokenCookie('from an earlier run', first, false).split(';', 1)[0] };
    expect(accessTo('read', stale, { tokens, isLoopback: true })).toEqual({ allowed: true, holder: undefined });
    expect(accessTo('read', stale, { tokens, isLoopback: false })).toMatchObject({ allowed: false, status: 401 });
  });
});

import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { WebSocket } from 'ws';
import { openAccessPolicy, portAccessOf, type AccessPolicy } from '../../../coordinator/connections/access-policy.js';
import { JoinLinks } from '../../../coordinator/connections/join/join-links.js';
import { temporaryFolder } from '../../support/temporary-folder.js';
import type { Admission } from '../../../coordinator/connections/handshake.js';
import { startServer, type CoordinatorServer, type ServedStatus } from '../../../coordinator/connections/server.js';
import { TokenTable } from '../../../coordinator/connections/tokens.js';
import { decodeFrame, encodeFrame } from '../../../shared/protocol/frame.js';
import { parseCoordinatorMessage, protocolVersion, type Hello } from '../../../shared/protocol/messages.js';
import { lockstepVersion } from '../../../shared/version.js';
import { FakeClock } from '../../support/fake-clock.js';
import { freePort } from '../../support/free-port.js';

const hello: Hello = {
  type: 'hello',
  protocolVersion,
  lockstepVersion: '0.1.0',
  token: 'secret',
  name: 'attic-1',
  engines: [{ engine: 'fake', fingerprint: 'fake/1', device: 'a fake device' }],
  cachedShards: [],
};

const withSecret = { tokens: () => TokenTable.ofOwner('secret') };

interface Changes {
  access?: Partial<AccessPolicy>;
  admission?: Partial<Admission>;
  served?: Partial<ServedStatus>;
  clock?: FakeClock;
  onAccess?: (message: string) => void;
}

/** Starts a server on loopback without tokens. The argument overrides individual settings. */
async function serve({
  access,
  admission,
  served,
  clock = new FakeClock(),
  onAccess = () => undefined,
}: Changes = {}): Promise<CoordinatorServer> {
  const server = await startServer({
    access: {
      host: '127.0.0.1',
      port: 0,
      tokens: () => TokenTable.none,
      tls: undefined,
      watch: () => () => undefined,
      ...access,
    },
    admission: { maxMessageBytes: 10_000, isFull: () => false, admit: () => undefined, ...admission },
    served: {
      status: () => ({ step: 7 }),
      metrics: { contentType: 'text/plain', text: () => Promise.resolve('lockstep_step 7\n') },
      notReady: () => undefined,
      ...served,
    },
    clock,
    onAccess,
  });
  onTestFinished(() => server.close());
  return server;
}

describe('an address that is not available', () => {
  it('is reported with the port and the option to change if the port is in use', async () => {
    const { port } = await serve();
    await expect(serve({ access: { port } })).rejects.toMatchObject({
      code: 'port-in-use',
      message: `port ${port} on 127.0.0.1 is in use: choose another with \`port\`, or 0 for any free port`,
    });
  });

  it('is reported with host and port if the host is not an address of this machine', async () => {
    // 192.0.2.0/24 is reserved for documentation.
    await expect(serve({ access: { host: '192.0.2.1', port: 9 } })).rejects.toMatchObject({
      code: 'bad-address',
      message: expect.stringMatching(/^cannot listen on 192\.0\.2\.1:9 .*check `host` and `port`$/),
    });
  });
});

describe('over HTTP', () => {
  const get = async (server: CoordinatorServer, path: string, init?: RequestInit) => {
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`, init);
    return { status: response.status, body: await response.json() };
  };
  const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });

  it('/healthz needs no token', async () => {
    const server = await serve({ access: withSecret });
    const healthy = { status: 200, body: { status: 'ok', lockstepVersion, protocolVersion } };
    expect(await get(server, '/healthz')).toEqual(healthy);
    expect(await get(server, '/healthz?from=probe')).toEqual(healthy);
  });

  it('/readyz needs no token, and reports whether the run can continue and why not', async () => {
    expect(await get(await serve({ access: withSecret }), '/readyz')).toEqual({
      status: 200,
      body: { status: 'ready' },
    });
    const reason = 'waiting for workers: 1 of 2 are connected';
    expect(await get(await serve({ served: { notReady: () => reason } }), '/readyz')).toEqual({
      status: 503,
      body: { status: 'not ready', reason },
    });
  });

  it('/status needs no token on loopback if there are no tokens', async () => {
    expect(await get(await serve(), '/status')).toEqual({ status: 200, body: { step: 7 } });
  });

  it('/status refuses unknown tokens everywhere, and requests without a token except on loopback', async () => {
    const server = await serve({ access: { ...withSecret, host: '0.0.0.0' } });
    expect(await get(server, '/status', bearer('secret'))).toEqual({ status: 200, body: { step: 7 } });
    expect(await get(server, '/status')).toEqual({
      status: 401,
      body: { error: 'a token is required (Authorization: Bearer TOKEN)' },
    });
    const onLoopback = await serve({ access: withSecret });
    expect((await get(onLoopback, '/status')).status).toBe(200);
    expect(await get(onLoopback, '/status', bearer('wrong'))).toEqual({
      status: 401,
      body: { error: 'the token is unknown' },
    });
  });

  it('an unknown path is answered with the paths that exist', async () => {
    const server = await serve();
    for (const path of ['/', '/Status', '/worker', '/status/']) {
      expect(await get(server, path)).toEqual({
        status: 404,
        body: { error: 'not found: use /healthz, /readyz, /status, /metrics or, for workers, /worker' },
      });
    }
  });

  it.each(['POST', 'PUT', 'DELETE'])('%s is refused', async (method) => {
    expect(await get(await serve(), '/status', { method })).toEqual({
      status: 405,
      body: { error: 'method not allowed: use GET' },
    });
  });

  it.each([
    ['at a path other than /worker', '/status', {}, 404],
    ["from another site's page", '/worker', { origin: 'https://example.org' }, 403],
  ])('an upgrade %s is refused', async (_, path, more, status) => {
    const server = await serve();
    const headers = { connection: 'Upgrade', upgrade: 'websocket', ...more };
    const attempt = request({ host: '127.0.0.1', port: server.port, path, headers }).end();
    const [response] = (await once(attempt, 'response')) as [IncomingMessage];
    expect(response.statusCode).toBe(status);
    response.resume();
  });
});

describe('with a public URL', () => {
  const publicUrl = new URL('https://lab.example.org/train');
  const access = { ...withSecret, publicUrl, allowedOrigins: ['https://www.example.org'] };
  /** Sends a request with any Host header, which fetch() does not permit. */
  const send = async (path: string, headers: Record<string, string>) => {
    const { port } = await serve({ access });
    const attempt = request({ host: '127.0.0.1', port, path, headers }).end();
    attempt.on('upgrade', (_response, socket) => socket.destroy());
    const [response] = (await Promise.race([once(attempt, 'response'), once(attempt, 'upgrade')])) as [IncomingMessage];
    response.resume();
    return response;
  };
  const token = { authorization: 'Bearer secret' };
  const upgrade = {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': Buffer.alloc(16).toString('base64'),
  };

  it.each([
    ['with its host', '/status', { host: 'lab.example.org', ...token }, 200],
    ['with its path, if the proxy does not remove it', '/train/status', { host: 'lab.example.org', ...token }, 200],
    ['on this machine', '/status', { host: 'localhost:7350', ...token }, 200],
    ['on this machine without a token', '/status', { host: 'localhost:7350' }, 401],
    ['with the host of another site', '/status', { host: 'evil.example', ...token }, 403],
    ['from a page of another site', '/status', { host: 'lab.example.org', origin: 'https://a.example', ...token }, 403],
    ['of a health check with any host', '/healthz', { host: 'pod-7' }, 200],
    ['of a worker', '/worker', { host: 'lab.example.org', ...upgrade }, 101],
    ['of a worker with the path', '/train/worker', { host: 'lab.example.org', ...upgrade }, 101],
    ['of a worker by address', '/worker', { host: '10.0.0.5:7350', ...upgrade }, 101],
    ['of a worker with the host of another site', '/worker', { host: 'evil.example', ...upgrade }, 403],
    ['of its own page', '/worker', { host: 'lab.example.org', origin: 'https://lab.example.org', ...upgrade }, 101],
    ['of another page', '/worker', { host: 'lab.example.org', origin: 'https://evil.example', ...upgrade }, 403],
    ['of an allowed page', '/worker', { host: 'lab.example.org', origin: 'https://www.example.org', ...upgrade }, 101],
    ['of an allowed page to read', '/status', { host: '127.0.0.1', origin: 'https://www.example.org', ...token }, 403],
  ])('a request %s is answered accordingly', async (_, path, headers, status) => {
    expect((await send(path, headers)).statusCode).toBe(status);
  });

  it('pages are isolated from their opener if it is https, as browsers see it', async () => {
    const { headers } = await send('/healthz', { host: 'lab.example.org' });
    expect(headers['cross-origin-opener-policy']).toBe('same-origin');
  });
});

describe('access to a coordinator', () => {
  it('with a public URL requires a token, even on loopback', () => {
    const message = expect.stringMatching(
      /^`publicUrl` is https:\/\/lab\.example\.org\/, which other machines can reach: set a token/,
    ) as string;
    const options = { publicUrl: 'https://lab.example.org' };
    expect(() => openAccessPolicy(options)).toThrow(expect.objectContaining({ code: 'bad-option', message }));
    // Worker processes of `train` have a token, with which nobody can read.
    expect(() => openAccessPolicy({ ...options, workersToken: 'w' })).toThrow(expect.objectContaining({ message }));
    expect(portAccessOf(openAccessPolicy({ ...options, token: 'secret' })).isLoopback).toBe(false);
    expect(portAccessOf(openAccessPolicy({ token: 'secret' })).isLoopback).toBe(true);
  });

  it('with a token for workers admits them in addition to the owner', () => {
    const tokens = openAccessPolicy({ token: 'secret', workersToken: 'w' }).tokens();
    expect(tokens.holderOf('secret')).toEqual({ name: 'owner', role: 'owner' });
    expect(tokens.holderOf('w')).toEqual({ name: 'workers', role: 'worker' });
  });
});

describe('a worker that connects', () => {
  async function connect(server: CoordinatorServer, firstMessage?: Uint8Array): Promise<WebSocket> {
    const socket = new WebSocket(`ws://127.0.0.1:${server.port}/worker`);
    onTestFinished(() => socket.terminate());
    await once(socket, 'open');
    if (firstMessage !== undefined) socket.send(firstMessage);
    return socket;
  }
  async function answerTo(server: CoordinatorServer, firstMessage: Uint8Array): Promise<unknown> {
    const socket = await connect(server, firstMessage);
    const closed = once(socket, 'close');
    const [data] = (await once(socket, 'message')) as [Buffer];
    // Close code 1008: policy violation.
    expect((await closed)[0]).toBe(1008);
    return parseCoordinatorMessage(decodeFrame(data).header);
  }

  it('with a valid token is admitted with its hello and address', async () => {
    const admit = vi.fn<Admission['admit']>(({ socket }) => {
      socket.send('in');
      return undefined;
    });
    const server = await serve({ access: withSecret, admission: { admit } });
    const socket = await connect(server, encodeFrame(hello));
    const [data] = (await once(socket, 'message')) as [Buffer];
    expect(data.toString()).toBe('in');
    expect(admit).toHaveBeenCalledTimes(1);
    expect(admit.mock.calls[0][0]).toMatchObject({ hello, address: expect.stringMatching(/^127\.0\.0\.1:\d+$/) });
  });

  it.each([
    {
      who: 'has an unknown token',
      message: encodeFrame({ ...hello, token: 'guess' }),
      refusal: {
        code: 'token',
        message:
          'the worker presented an unknown token: set one that this coordinator knows with LOCKSTEP_TOKEN or `tokenFile`',
      },
    },
    {
      who: 'has no token',
      message: encodeFrame({ ...hello, token: '' }),
      refusal: { code: 'token', message: expect.stringMatching(/^the worker presented no token: /) as unknown },
    },
    {
      who: 'has the token of a viewer',
      message: encodeFrame({ ...hello, token: 'a-viewers-own-token' }),
      refusal: {
        code: 'token',
        message: 'the token of wall has the role viewer, which may not join as a worker: use a worker token',
      },
    },
    {
      who: 'has an older protocol version, whatever else is in its hello',
      message: encodeFrame({ type: 'hello', protocolVersion: protocolVersion - 1, mood: 'good' }),
      refusal: { code: 'protocol-version', message: expect.stringMatching(/: update the worker$/) as unknown },
    },
    {
      who: 'has a newer protocol version',
      message: encodeFrame({ ...hello, protocolVersion: protocolVersion + 1 }),
      refusal: { code: 'protocol-version', message: expect.stringMatching(/: update the coordinator$/) as unknown },
    },
    {
      who: 'sends another message before its hello',
      message: encodeFrame({ type: 'leave', reason: 'lunch' }),
      refusal: { code: 'bad-message', message: 'the first message was leave, not hello' },
    },
    {
      who: 'sends bytes that are not a message',
      message: Buffer.from('GET / HTTP/1.1'),
      refusal: { code: 'bad-message', message: expect.stringContaining('claims a header of') as unknown },
    },
    {
      who: 'sends a message type that is not a string',
      message: encodeFrame({ type: { toString: 1, valueOf: 1 } }),
      refusal: {
        code: 'bad-message',
        message: expect.stringContaining('a worker sent an invalid message of type unknown') as unknown,
      },
    },
  ])('and $who is refused with the reason', async ({ message, refusal }) => {
    const admit = vi.fn<Admission['admit']>();
    const tokens = TokenTable.parse('rack worker secret-of-the-rack\nwall viewer a-viewers-own-token', 'tokens');
    const server = await serve({ access: { tokens: () => tokens }, admission: { admit } });
    expect(await answerTo(server, message)).toEqual({ type: 'refusal', ...refusal });
    expect(admit).not.toHaveBeenCalled();
  });

  it('and is not admitted is refused with the reason', async () => {
    const refusal = { code: 'finished', message: 'the run has ended' } as const;
    const server = await serve({ admission: { admit: () => refusal } });
    expect(await answerTo(server, encodeFrame(hello))).toEqual({ type: 'refusal', ...refusal });
  });

  it('with a revoked link is refused, but does not cause its address to be blocked', async () => {
    const joinLinks = new JoinLinks(await temporaryFolder(), { expiresMs: 60_000, maxWorkers: 3 });
    const { token } = joinLinks.current!;
    joinLinks.revoke();
    const onAccess = vi.fn<(message: string) => void>();
    const server = await serve({ access: { ...withSecret, joinLinks }, onAccess });
    // A class behind one address. 20 guesses would block it.
    for (let worker = 0; worker < 25; worker++) {
      expect(await answerTo(server, encodeFrame({ ...hello, token }))).toMatchObject({ code: 'token' });
    }
    expect(onAccess).not.toHaveBeenCalled();
  });

  it('and has to wait for a place is told to try again later', async () => {
    const reason = 'as many workers are connected by the join link as it allows (64)';
    const server = await serve({ admission: { admit: () => ({ tryAgainLater: reason }) } });
    const socket = await connect(server, encodeFrame(hello));
    const [code, text] = (await once(socket, 'close')) as [number, Buffer];
    expect([code, text.toString()]).toEqual([1013, reason]);
  });

  it('and sends nothing for 10 s is disconnected, but may try again', async () => {
    const clock = new FakeClock();
    const server = await serve({ clock });
    const socket = await connect(server);
    const closed = vi.fn<() => void>();
    socket.on('close', closed);
    // The server starts its hello timer before the client's WebSocket handshake completes.
    expect(clock.running).toBe(1);
    clock.advance(9_999);
    expect(clock.running).toBe(1);
    expect(closed).not.toHaveBeenCalled();
    const gone = once(socket, 'close');
    clock.advance(1);
    const [code, reason] = (await gone) as [number, Buffer];
    expect([code, reason.toString()]).toEqual([1013, 'no hello arrived within 10 s']);
  });

  it('and sends a message over the size limit is disconnected', async () => {
    const socket = await connect(await serve({ admission: { maxMessageBytes: 1000 } }), new Uint8Array(1001));
    // Close code 1009: message too big.
    expect((await once(socket, 'close'))[0]).toBe(1009);
  });
});

describe('closing', () => {
  it('ends the connections and frees the port', async () => {
    const server = await serve({ access: { port: await freePort() } });
    const socket = new WebSocket(`ws://127.0.0.1:${server.port}/worker`);
    await once(socket, 'open');
    const gone = once(socket, 'close');
    await server.close();
    await gone;
    await expect(fetch(`http://127.0.0.1:${server.port}/healthz`)).rejects.toThrow('fetch failed');
    expect((await serve({ access: { port: server.port } })).port).toBe(server.port);
  });
});

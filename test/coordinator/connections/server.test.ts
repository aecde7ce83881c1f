import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { WebSocket } from 'ws';
import { startServer, type CoordinatorServer, type ServerOptions } from '../../../coordinator/connections/server.js';
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
  engine: { engine: 'fake', fingerprint: 'fake/1', device: 'a fake device' },
  cachedShards: [],
};

const withSecret = { tokens: () => TokenTable.ofOwner('secret') };

async function serve(options: Partial<ServerOptions> = {}): Promise<CoordinatorServer> {
  const server = await startServer({
    host: '127.0.0.1',
    port: 0,
    tokens: () => TokenTable.none,
    maxMessageBytes: 10_000,
    clock: new FakeClock(),
    status: () => ({ step: 7 }),
    metrics: { contentType: 'text/plain', text: () => Promise.resolve('lockstep_step 7\n') },
    notReady: () => undefined,
    tell: () => undefined,
    admit: () => undefined,
    ...options,
  });
  onTestFinished(() => server.close());
  return server;
}

describe('an address that cannot be had', () => {
  it('is told by the port and the option that changes it', async () => {
    const { port } = await serve();
    await expect(serve({ port })).rejects.toMatchObject({
      code: 'port-in-use',
      message: `port ${port} on 127.0.0.1 is in use: choose another with --port, or --port 0 for any free one`,
    });
  });

  it('is told by the host where it is not one of ours', async () => {
    // 192.0.2.0/24 is set aside for documentation.
    await expect(serve({ host: '192.0.2.1', port: 9 })).rejects.toMatchObject({
      code: 'bad-address',
      message: expect.stringMatching(/^cannot listen on 192\.0\.2\.1:9 .*see --host and --port$/),
    });
  });
});

describe('over HTTP', () => {
  const get = async (server: CoordinatorServer, path: string, init?: RequestInit) => {
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`, init);
    return { status: response.status, body: await response.json() };
  };
  const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });

  it('/healthz answers anybody', async () => {
    const server = await serve(withSecret);
    const healthy = { status: 200, body: { status: 'ok', lockstepVersion, protocolVersion } };
    expect(await get(server, '/healthz')).toEqual(healthy);
    expect(await get(server, '/healthz?from=probe')).toEqual(healthy);
  });

  it('/readyz tells anybody whether the run can go on, and why not', async () => {
    expect(await get(await serve(withSecret), '/readyz')).toEqual({ status: 200, body: { status: 'ready' } });
    const reason = 'waiting for workers: 1 of 2 are here';
    expect(await get(await serve({ notReady: () => reason }), '/readyz')).toEqual({
      status: 503,
      body: { status: 'not ready', reason },
    });
  });

  it('/status tells all where there is no token', async () => {
    expect(await get(await serve(), '/status')).toEqual({ status: 200, body: { step: 7 } });
  });

  it('/status tells nobody that shows a wrong token, and those without one only on loopback', async () => {
    const server = await serve({ ...withSecret, host: '0.0.0.0' });
    expect(await get(server, '/status', bearer('secret'))).toEqual({ status: 200, body: { step: 7 } });
    expect(await get(server, '/status')).toEqual({
      status: 401,
      body: { error: 'show a token: Authorization: Bearer TOKEN' },
    });
    expect((await get(await serve(withSecret), '/status')).status).toBe(200);
    expect(await get(await serve(withSecret), '/status', bearer('wrong'))).toEqual({
      status: 401,
      body: { error: 'a token that is not known here was shown' },
    });
  });

  it('what is not there is answered with what is', async () => {
    const server = await serve();
    for (const path of ['/', '/Status', '/worker', '/status/']) {
      expect(await get(server, path)).toEqual({
        status: 404,
        body: { error: 'there are /healthz, /readyz, /status, /metrics and, for workers, /worker' },
      });
    }
  });

  it.each(['POST', 'PUT', 'DELETE'])('%s is refused', async (method) => {
    expect(await get(await serve(), '/status', { method })).toEqual({
      status: 405,
      body: { error: 'only GET is answered here' },
    });
  });

  it.each([
    ['anywhere but at /worker', '/status', {}, 404],
    ["by another site's page", '/worker', { origin: 'https://example.org' }, 403],
  ])('an upgrade %s is refused', async (_, path, more, status) => {
    const server = await serve();
    const headers = { connection: 'Upgrade', upgrade: 'websocket', ...more };
    const attempt = request({ host: '127.0.0.1', port: server.port, path, headers }).end();
    const [response] = (await once(attempt, 'response')) as [IncomingMessage];
    expect(response.statusCode).toBe(status);
    response.resume();
  });
});

describe('a worker that knocks', () => {
  async function knock(server: CoordinatorServer, firstMessage?: Uint8Array): Promise<WebSocket> {
    const socket = new WebSocket(`ws://127.0.0.1:${server.port}/worker`);
    onTestFinished(() => socket.terminate());
    await once(socket, 'open');
    if (firstMessage !== undefined) socket.send(firstMessage);
    return socket;
  }
  async function answerTo(server: CoordinatorServer, firstMessage: Uint8Array): Promise<unknown> {
    const socket = await knock(server, firstMessage);
    const closed = once(socket, 'close');
    const [data] = (await once(socket, 'message')) as [Buffer];
    // 1008: policy violation.
    expect((await closed)[0]).toBe(1008);
    return parseCoordinatorMessage(decodeFrame(data).header);
  }

  it('with the right token is handed on with its hello and address', async () => {
    const admit = vi.fn<ServerOptions['admit']>(({ socket }) => {
      socket.send('in');
      return undefined;
    });
    const server = await serve({ ...withSecret, admit });
    const socket = await knock(server, encodeFrame(hello));
    const [data] = (await once(socket, 'message')) as [Buffer];
    expect(data.toString()).toBe('in');
    expect(admit).toHaveBeenCalledTimes(1);
    expect(admit.mock.calls[0][0]).toMatchObject({ hello, address: expect.stringMatching(/^127\.0\.0\.1:\d+$/) });
  });

  it.each([
    {
      who: 'has a wrong token',
      message: encodeFrame({ ...hello, token: 'guess' }),
      refusal: {
        code: 'token',
        message: 'a wrong token was given: pass one that this coordinator knows with LOCKSTEP_TOKEN or --token-file',
      },
    },
    {
      who: 'has no token',
      message: encodeFrame({ ...hello, token: '' }),
      refusal: { code: 'token', message: expect.stringMatching(/^no token was given: /) as unknown },
    },
    {
      who: 'shows the token of a viewer',
      message: encodeFrame({ ...hello, token: 'a-viewers-own-token' }),
      refusal: {
        code: 'token',
        message: "the token of wall, a viewer, does not allow to join: pass a worker's",
      },
    },
    {
      who: 'speaks an older version, whatever else it says',
      message: encodeFrame({ type: 'hello', protocolVersion: protocolVersion - 1, mood: 'good' }),
      refusal: { code: 'protocol-version', message: expect.stringMatching(/: update the worker$/) as unknown },
    },
    {
      who: 'speaks a newer version',
      message: encodeFrame({ ...hello, protocolVersion: protocolVersion + 1 }),
      refusal: { code: 'protocol-version', message: expect.stringMatching(/: update the coordinator$/) as unknown },
    },
    {
      who: 'does not say hello first',
      message: encodeFrame({ type: 'leave', reason: 'lunch' }),
      refusal: { code: 'bad-message', message: 'the first message was leave, not hello' },
    },
    {
      who: 'speaks nonsense',
      message: Buffer.from('GET / HTTP/1.1'),
      refusal: { code: 'bad-message', message: expect.stringContaining('claims a header of') as unknown },
    },
    {
      who: 'sends a type that has no text',
      message: encodeFrame({ type: { toString: 1, valueOf: 1 } }),
      refusal: { code: 'bad-message', message: expect.stringContaining('a worker sent a message of') as unknown },
    },
  ])('and $who is refused with the reason', async ({ message, refusal }) => {
    const admit = vi.fn<ServerOptions['admit']>();
    const tokens = TokenTable.parse('rack worker secret-of-the-rack\nwall viewer a-viewers-own-token', 'tokens');
    const server = await serve({ tokens: () => tokens, admit });
    expect(await answerTo(server, message)).toEqual({ type: 'refusal', ...refusal });
    expect(admit).not.toHaveBeenCalled();
  });

  it('is told the reason of whoever admits it', async () => {
    const refusal = { code: 'finished', message: 'the run has ended' } as const;
    const server = await serve({ admit: () => refusal });
    expect(await answerTo(server, encodeFrame(hello))).toEqual({ type: 'refusal', ...refusal });
  });

  it('and says nothing for 10 s is let go', async () => {
    const clock = new FakeClock();
    const server = await serve({ clock });
    const socket = await knock(server);
    const closed = vi.fn<() => void>();
    socket.on('close', closed);
    // The hello's timer was started before the client's handshake ended.
    expect(clock.running).toBe(1);
    clock.advance(9_999);
    expect(clock.running).toBe(1);
    expect(closed).not.toHaveBeenCalled();
    const gone = once(socket, 'close');
    clock.advance(1);
    expect((await gone)[0]).toBe(1008);
  });

  it('and sends more than the longest message is let go', async () => {
    const socket = await knock(await serve({ maxMessageBytes: 1000 }), new Uint8Array(1001));
    // 1009: message too big.
    expect((await once(socket, 'close'))[0]).toBe(1009);
  });
});

describe('closing', () => {
  it('ends the connections and frees the port', async () => {
    const server = await serve({ port: await freePort() });
    const socket = new WebSocket(`ws://127.0.0.1:${server.port}/worker`);
    await once(socket, 'open');
    const gone = once(socket, 'close');
    await server.close();
    await gone;
    await expect(fetch(`http://127.0.0.1:${server.port}/healthz`)).rejects.toThrow('fetch failed');
    expect((await serve({ port: server.port })).port).toBe(server.port);
  });
});

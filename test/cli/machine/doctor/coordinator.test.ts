import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { checkCoordinator, checkClock } from '../../../../cli/machine/doctor/coordinator.js';
import { loadAllCommands, lockstepProgram } from '../../../../cli/program.js';
import { startServer } from '../../../../coordinator/connections/server.js';
import { TokenTable } from '../../../../coordinator/connections/tokens.js';
import { systemClock } from '../../../../shared/clock.js';
import { protocolVersion } from '../../../../shared/protocol/messages.js';

/** Starts a real coordinator and returns its URL. */
async function startCoordinatorWith(tokens: TokenTable): Promise<string> {
  const server = await startServer({
    access: { host: '127.0.0.1', port: 0, tokens: () => tokens, tls: undefined, watch: () => () => undefined },
    admission: { maxMessageBytes: 10_000, isFull: () => false, admit: () => undefined },
    served: { status: () => ({}), notReady: () => undefined },
    clock: systemClock,
    onAccess: () => undefined,
  });
  onTestFinished(() => server.close());
  return `ws://127.0.0.1:${server.port}`;
}

/** Starts an HTTP server and returns its URL. */
async function serve(answer: RequestListener): Promise<string> {
  const server = createServer(answer).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  return `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const healthy = (body: object): RequestListener => {
  return (_request, response) => response.end(JSON.stringify({ status: 'ok', ...body }));
};

/** Returns the mark and finding of each check, by subject. */
async function check(url: string, token?: string): Promise<Record<string, string>> {
  const checks = await checkCoordinator(url, { token });
  return Object.fromEntries(checks.map(({ about, mark, says }) => [about, `${mark} ${says}`]));
}

describe('checkCoordinator', () => {
  it('finds no problem with a coordinator of this version', async () => {
    const found = await check(await startCoordinatorWith(TokenTable.none));
    expect(found).toEqual({
      connection: expect.stringMatching(/^ok ws:\/\/127\.0\.0\.1:\d+ responds in [\d.]+ ms$/),
      protocol: expect.stringMatching(new RegExp(`^ok version ${protocolVersion} \\(lockstep `)),
      WebSockets: 'ok can be opened',
      token: 'ok none given; this machine needs none to read the status',
      clock: 'ok agrees within seconds',
    });
  });

  it('reports the role of a token, or that it is unknown', async () => {
    const file = 'ann worker 0123456789abcdef\nben viewer 1123456789abcdef\nowen owner 2123456789abcdef';
    const url = await startCoordinatorWith(TokenTable.parse(file, 'tokens'));
    const findingFor = async (token: string) => (await check(url, token))['token'];
    expect(await findingFor('0123456789abcdef')).toBe('ok accepted; its role is worker');
    expect(await findingFor('2123456789abcdef')).toBe('ok accepted; its role is owner');
    expect(await findingFor('1123456789abcdef')).toBe('problem its role is viewer, which may not join');
    expect(await findingFor('wrong')).toBe('problem refused: the token is unknown');
  });

  it('names options in the refusals of a coordinator by their flags', async () => {
    await loadAllCommands(lockstepProgram());
    const url = await serve((request, response) => {
      if (request.url === '/healthz') return healthy({ protocolVersion })(request, response);
      response.statusCode = 403;
      return response.end('{"error":"this coordinator has no token that allows this: start it with `tokenFile`"}');
    });
    expect((await check(url))['token']).toBe(
      'problem not checked: this coordinator has no token that allows this: start it with --token-file',
    );
  });

  it('reports a different protocol version: newer, older, or too old to be recognized', async () => {
    const [newer, older, silent] = await Promise.all(
      [{ protocolVersion: protocolVersion + 1, lockstepVersion: '9.0.0' }, { protocolVersion: 1 }, {}].map(
        async (body) => {
          const checks = await checkCoordinator(await serve(healthy(body)));
          return checks.find(({ about }) => about === 'protocol')!;
        },
      ),
    );
    expect(newer.mark).toBe('problem');
    expect(newer.says).toContain(
      `version ${protocolVersion + 1} (lockstep 9.0.0); this machine has version ${protocolVersion}`,
    );
    expect(newer.remedy).toBe('update this machine, so that both sides have the same version');
    expect(older.remedy).toBe('update the coordinator, so that both sides have the same version');
    expect(silent.mark).toBe('warning');
  });

  it('detects a proxy that does not forward WebSockets', async () => {
    const url = await serve(healthy({ protocolVersion }));
    expect((await check(url))['WebSockets']).toBe('problem are refused (HTTP 200)');
  });

  it('detects a clock that differs', async () => {
    const url = await serve((_request, response) => {
      response.setHeader('date', new Date(Date.now() + 3_600_000).toUTCString());
      response.end(JSON.stringify({ status: 'ok', protocolVersion }));
    });
    expect((await check(url))['clock']).toMatch(
      /^warning the coordinator is (3599|3600|3601) s ahead of this machine$/,
    );
  });
});

it('checkClock compares the Date header with the middle of the request, in whole seconds', () => {
  const sentMs = Date.parse('Wed, 25 Nov 2026 12:00:10 GMT');
  const at = (date: string) => checkClock({ headers: { date }, sentMs, receivedMs: sentMs + 1000 });
  expect(at('Wed, 25 Nov 2026 12:00:10 GMT').mark).toBe('ok');
  expect(at('Wed, 25 Nov 2026 12:00:05 GMT').mark).toBe('ok');
  expect(at('Wed, 25 Nov 2026 12:00:04 GMT').says).toBe('the coordinator is 6 s behind this machine');
  expect(at('yesterday').says).toBe('unknown: the coordinator sends no Date header');
});

describe('checkCoordinator, without a coordinator at the URL,', () => {
  it('reports that nothing listens', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    const found = await check(`ws://127.0.0.1:${port}`);
    expect(found).toEqual({ connection: `problem nothing listens on 127.0.0.1:${port}` });
  });

  it('reports that something else responds', async () => {
    const url = await serve((_request, response) => response.writeHead(404).end('<html>'));
    expect((await check(url))['connection']).toMatch(/^problem something other than a coordinator responds \(HTTP 404/);
    const other = await serve((_request, response) => response.end('{"status":"fine"}'));
    expect((await check(other))['connection']).toMatch(
      /^problem something other than a coordinator responds \(HTTP 200/,
    );
  });

  it('reports an unknown host name', async () => {
    // The .invalid top-level domain never resolves (RFC 2606).
    const found = await check('ws://lockstep.invalid:7350');
    expect(found['connection']).toBe('problem cannot resolve the host name lockstep.invalid');
  });
});

// Coordinators as the doctor may find them: real ones, older and newer ones, something else, nothing at all.
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { checkCoordinator, checkClock } from '../../../../cli/machine/doctor/coordinator.js';
import { startServer } from '../../../../coordinator/connections/server.js';
import { TokenTable } from '../../../../coordinator/connections/tokens.js';
import { systemClock } from '../../../../shared/clock.js';
import { protocolVersion } from '../../../../shared/protocol/messages.js';

/** A real coordinator's port. */
async function coordinatorWith(tokens: TokenTable): Promise<string> {
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

/** Anything that speaks HTTP. */
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

/** `mark says` of each check by what it is about. */
async function look(url: string, token?: string): Promise<Record<string, string>> {
  const checks = await checkCoordinator(url, { token });
  return Object.fromEntries(checks.map(({ about, mark, says }) => [about, `${mark} ${says}`]));
}

describe('a coordinator', () => {
  it('is sound', async () => {
    const found = await look(await coordinatorWith(TokenTable.none));
    expect(found).toEqual({
      answers: expect.stringMatching(/^ok ws:\/\/127\.0\.0\.1:\d+, in [\d.]+ ms$/),
      protocol: expect.stringMatching(new RegExp(`^ok version ${protocolVersion} \\(lockstep `)),
      WebSockets: 'ok get through',
      token: 'ok none shown, and none needed to read from this machine',
      clock: 'ok agrees with this one, within seconds',
    });
  });

  it('knows a token by its role, or does not know it', async () => {
    const file = 'ann worker 0123456789abcdef\nben viewer 1123456789abcdef\nowen owner 2123456789abcdef';
    const url = await coordinatorWith(TokenTable.parse(file, 'tokens'));
    const said = async (token: string) => (await look(url, token))['token'];
    expect(await said('0123456789abcdef')).toBe("ok accepted, as a worker's");
    expect(await said('2123456789abcdef')).toBe("ok accepted, as an owner's");
    expect(await said('1123456789abcdef')).toBe("problem known, but as a viewer's, who may not join as a worker");
    expect(await said('wrong')).toBe('problem refused: the token is unknown');
  });

  it('speaks another version: newer, older, or too old to say so', async () => {
    const [newer, older, silent] = await Promise.all(
      [{ protocolVersion: protocolVersion + 1, lockstepVersion: '9.0.0' }, { protocolVersion: 1 }, {}].map(
        async (body) => {
          const checks = await checkCoordinator(await serve(healthy(body)));
          return checks.find(({ about }) => about === 'protocol')!;
        },
      ),
    );
    expect(newer.mark).toBe('problem');
    expect(newer.says).toContain(`version ${protocolVersion + 1} (lockstep 9.0.0); this is version ${protocolVersion}`);
    expect(newer.remedy).toBe('update this machine: one version on both sides');
    expect(older.remedy).toBe('update the coordinator: one version on both sides');
    expect(silent.mark).toBe('warning');
  });

  it('sits behind a proxy that passes no WebSockets on', async () => {
    const url = await serve(healthy({ protocolVersion }));
    expect((await look(url))['WebSockets']).toBe('problem are refused (HTTP 200)');
  });

  it('has another clock', async () => {
    const url = await serve((_request, response) => {
      response.setHeader('date', new Date(Date.now() + 3_600_000).toUTCString());
      response.end(JSON.stringify({ status: 'ok', protocolVersion }));
    });
    expect((await look(url))['clock']).toMatch(/^warning the coordinator's is (3599|3600|3601) s ahead of this one$/);
  });
});

it('a clock is compared with the middle of the question, in whole seconds', () => {
  const sentMs = Date.parse('Wed, 25 Nov 2026 12:00:10 GMT');
  const at = (date: string) => checkClock({ headers: { date }, sentMs, receivedMs: sentMs + 1000 });
  expect(at('Wed, 25 Nov 2026 12:00:10 GMT').mark).toBe('ok');
  expect(at('Wed, 25 Nov 2026 12:00:05 GMT').mark).toBe('ok');
  expect(at('Wed, 25 Nov 2026 12:00:04 GMT').says).toBe("the coordinator's is 6 s behind this one");
  expect(at('yesterday').says).toBe('it does not tell its time');
});

describe('an address', () => {
  it('has nobody listening', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    const found = await look(`ws://127.0.0.1:${port}`);
    expect(found).toEqual({ answers: `problem nothing listens on 127.0.0.1:${port}` });
  });

  it('has something else listening', async () => {
    const url = await serve((_request, response) => response.writeHead(404).end('<html>'));
    expect((await look(url))['answers']).toMatch(/^problem something else answers there \(HTTP 404/);
    const other = await serve((_request, response) => response.end('{"status":"fine"}'));
    expect((await look(other))['answers']).toMatch(/^problem something else answers there \(HTTP 200/);
  });

  it('is no name at all', async () => {
    // .invalid is set aside for names that are none.
    const found = await look('ws://lockstep.invalid:7350');
    expect(found['answers']).toBe('problem there is no machine called lockstep.invalid');
  });
});

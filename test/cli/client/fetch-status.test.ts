import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { fetchStatus, httpUrlOf } from '../../../cli/client/fetch-status.js';

/** Starts a server that answers every request with the given status and body. @returns HOST:PORT */
async function respondWith(status: number, body: string): Promise<string> {
  const server = createServer((_, response) => response.writeHead(status).end(body));
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  onTestFinished(() => void server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

it.each([
  ['ws://attic:7350', 'http://attic:7350/'],
  ['wss://attic', 'https://attic/'],
  ['attic:7350', 'http://attic:7350/'],
  ['http://[::1]:7350/', 'http://[::1]:7350/'],
])('the coordinator at %s has the HTTP URL %s', (url, expected) => {
  expect(httpUrlOf(url).href).toBe(expected);
});

it.each([
  ['a page', 200, '<html>', 'Invalid input'],
  ['other JSON', 200, '{"lockstepVersion":"0.1.0","step":3}', 'time Invalid input'],
  ['an error', 502, 'bad gateway', 'HTTP 502'],
])('a server that responds with %s is not a coordinator', async (_, status, body, problem) => {
  const host = await respondWith(status, body);
  await expect(fetchStatus(host)).rejects.toMatchObject({
    code: 'protocol',
    message: expect.stringContaining(
      `${host} responds, but not like a coordinator of this version of Lockstep (${problem}`,
    ),
  });
});

it("a refusal includes the coordinator's reason", async () => {
  const host = await respondWith(401, '{"error":"show a token"}');
  await expect(fetchStatus(host, { token: 'x' })).rejects.toMatchObject({
    code: 'refused',
    message: expect.stringContaining(`${host} denied access: show a token: pass a viewer, operator or owner token`),
  });
});

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { addressOf, askStatus } from '../../../cli/client/ask-coordinator.js';

async function answering(status: number, body: string): Promise<string> {
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
])('%s is reached at %s', (url, expected) => {
  expect(addressOf(url).href).toBe(expected);
});

it.each([
  ['a page', 200, '<html>', 'Invalid input'],
  ['other JSON', 200, '{"lockstepVersion":"0.1.0","step":3}', 'time Invalid input'],
  ['an error', 502, 'bad gateway', 'status 502'],
])('what answers with %s is no coordinator', async (_, status, body, problem) => {
  const host = await answering(status, body);
  await expect(askStatus(host)).rejects.toMatchObject({
    code: 'protocol',
    message: expect.stringContaining(
      `${host} answers, but not as a coordinator of this version of lockstep does (${problem}`,
    ),
  });
});

it("a refusal is told in the coordinator's words", async () => {
  const host = await answering(401, '{"error":"show a token"}');
  await expect(askStatus(host, { token: 'x' })).rejects.toMatchObject({
    code: 'refused',
    message: expect.stringContaining(`${host} does not let us read (show a token)`),
  });
});

// Both forms of a worker's connection: in this thread, and in one of its own.
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { WebSocketServer, type WebSocket } from 'ws';
import { systemClock } from '../../../shared/clock.js';
import { SocketLink } from '../../../worker/connection/socket-link.js';
import { ThreadedLink } from '../../../worker/connection/threaded-link.js';
import type { CoordinatorLink, OpenLink } from '../../../worker/connection/coordinator-link.js';
import { freePort } from '../../support/free-port.js';

const forms: [string, OpenLink][] = [
  ['in this thread', (url, handlers) => new SocketLink(url, handlers, systemClock)],
  ['in a thread of its own', (url, handlers) => new ThreadedLink(url, handlers)],
];

interface Opened {
  link: CoordinatorLink;
  /** The other end. */
  peer: WebSocket;
  /** The next message that arrives. */
  message: () => Promise<Uint8Array>;
  closed: Promise<string>;
}

describe.each(forms)('a connection %s', (_, open) => {
  /** A connection, and what becomes of it. */
  function start(url: string) {
    const arrived: Uint8Array[] = [];
    let wake = () => {};
    let link!: CoordinatorLink;
    const closed = new Promise<string>((resolve) => {
      link = open(url, {
        onOpen: () => wake(),
        onMessage: (message) => {
          arrived.push(message);
          wake();
        },
        onClosed: resolve,
      });
    });
    onTestFinished(async () => {
      link.terminate();
      await closed;
    });
    async function message(): Promise<Uint8Array> {
      while (arrived.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      return arrived.shift()!;
    }
    return { link, closed, message };
  }

  async function connect(options: { autoPong?: boolean } = {}): Promise<Opened> {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1', ...options });
    onTestFinished(() => server.close());
    await once(server, 'listening');
    const started = start(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const [peer, request] = (await once(server, 'connection')) as [WebSocket, { url: string }];
    expect(request.url).toBe('/worker');
    peer.send('hello');
    expect(new TextDecoder().decode(await started.message())).toBe('hello');
    return { ...started, peer };
  }

  it.each([1, 1000, 100_000, 3_000_000])('carries a message of %i bytes both ways', async (bytes) => {
    const { link, peer, message } = await connect();
    const sent = new Uint8Array(new SharedArrayBuffer(bytes + 24), 24).map((_value, index) => index % 251);
    const left = new Promise<void>((resolve) => link.send(sent, resolve));
    const [received] = (await once(peer, 'message')) as [Buffer];
    await left;
    expect(Buffer.compare(received, sent)).toBe(0);
    peer.send(received);
    expect(Buffer.compare(await message(), sent)).toBe(0);
  });

  it('keeps the order of messages', async () => {
    const { link, peer } = await connect();
    const received: number[] = [];
    const all = new Promise<void>((resolve) => {
      peer.on('message', (data: Buffer) => {
        received.push(data.length);
        if (received.length === 20) resolve();
      });
    });
    const lengths = Array.from({ length: 20 }, (_value, index) => (index % 3 === 0 ? 70_000 : 1) + index);
    for (const length of lengths) link.send(new Uint8Array(length));
    await all;
    expect(received).toEqual(lengths);
  });

  it('sends what it was given before it closes', async () => {
    const { link, peer, closed } = await connect();
    link.send(new Uint8Array(100_000));
    link.close(1000);
    expect(((await once(peer, 'message')) as [Buffer])[0]).toHaveLength(100_000);
    expect(await closed).toBe('connection closed (1000)');
  });

  it('loses no last word when it is told to close twice while much is arriving', async () => {
    const { link, peer, closed } = await connect();
    // More than the socket's buffers hold: closed by force, what lies unread would reset the connection.
    for (let chunk = 0; chunk < 20; chunk++) peer.send(new Uint8Array(1_000_000));
    const last = once(peer, 'message');
    const closedWith = once(peer, 'close');
    link.send(new Uint8Array(5));
    link.close(1000);
    link.close(1000);
    expect(((await last) as [Buffer])[0]).toHaveLength(5);
    expect((await closedWith)[0]).toBe(1000);
    expect(await closed).toBe('connection closed (1000)');
  });

  it('says how the other side ended it', async () => {
    const { peer, closed } = await connect();
    peer.close(1008, 'bad manners');
    expect(await closed).toBe('bad manners');
  });

  it('says so when nobody listens there', async () => {
    expect(await start(`ws://127.0.0.1:${await freePort()}`).closed).toContain('ECONNREFUSED');
  });

  it('ends when nothing is heard for longer than the limit', async () => {
    const { link, closed } = await connect({ autoPong: false });
    link.watch({ heartbeatIntervalMs: 20, heartbeatTimeoutMs: 100 });
    expect(await closed).toBe('the coordinator was silent for more than 0.1 s');
  });

  it('pings, and lives on the answers', async () => {
    const { link, peer, closed } = await connect();
    link.watch({ heartbeatIntervalMs: 20, heartbeatTimeoutMs: 600_000 });
    for (let ping = 0; ping < 3; ping++) await once(peer, 'ping');
    link.close(1000);
    expect(await closed).toBe('connection closed (1000)');
  });
});

// Both implementations of a worker's connection: in the current thread and in a separate thread.
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { WebSocketServer, type WebSocket } from 'ws';
import { machineMs, systemClock } from '../../../shared/clock.js';
import { decodeFrame, encodeFrame } from '../../../shared/protocol/frame.js';
import { encodeHeartbeat, heartbeatIn } from '../../../shared/protocol/heartbeats/messages.js';
import { SocketLink } from '../../../worker/connection/socket-link.js';
import { linkThreadTo } from '../../../worker/connection/start-link-thread.js';
import { ThreadedLink } from '../../../worker/connection/threaded-link.js';
import type { CoordinatorLink, LinkHandlers } from '../../../worker/connection/coordinator-link.js';
import { freePort } from '../../support/free-port.js';

const implementations: [string, (url: string, handlers: LinkHandlers) => CoordinatorLink][] = [
  ['in this thread', (url, handlers) => new SocketLink(url, handlers, systemClock)],
  ['in a thread of its own', (url, handlers) => new ThreadedLink(linkThreadTo(url), handlers)],
];

interface Opened {
  link: CoordinatorLink;
  /** Socket at the other end of the connection. */
  peer: WebSocket;
  /** Resolves to the next message to arrive. */
  message: () => Promise<Uint8Array>;
  closed: Promise<string>;
}

describe.each(implementations)('a connection %s', (_, open) => {
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
      link.close(1000);
      await closed;
    });
    async function message(): Promise<Uint8Array> {
      while (arrived.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      return arrived.shift()!;
    }
    return { link, closed, message };
  }

  async function connect(): Promise<Opened> {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    onTestFinished(() => server.close());
    await once(server, 'listening');
    const started = start(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const [peer, request] = (await once(server, 'connection')) as [WebSocket, { url: string }];
    expect(request.url).toBe('/worker');
    peer.send('hello');
    expect(new TextDecoder().decode(await started.message())).toBe('hello');
    return { ...started, peer };
  }

  it.each([1, 1000, 100_000, 3_000_000])('carries a message of %i bytes in both directions', async (bytes) => {
    const { link, peer, message } = await connect();
    const sent = Uint8Array.from({ length: bytes }, (_value, index) => index % 251);
    const frame = new Uint8Array(bytes + 24).subarray(24);
    frame.set(sent);
    const returned = new Promise<ArrayBuffer>((resolve) => link.sendAndReturn(frame, resolve));
    const [received] = (await once(peer, 'message')) as [Buffer];
    expect(Buffer.compare(new Uint8Array(await returned, 24), sent)).toBe(0);
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

  it('sends queued frames before it closes', async () => {
    const { link, peer, closed } = await connect();
    link.send(new Uint8Array(100_000));
    link.close(1000);
    expect(((await once(peer, 'message')) as [Buffer])[0]).toHaveLength(100_000);
    expect(await closed).toBe('connection closed (1000)');
  });

  it('does not lose its last frame when close is called twice while a lot of data arrives', async () => {
    const { link, peer, closed } = await connect();
    // This is more data than the socket's buffers hold. If the socket were terminated, the unread data would cause a
    // reset.
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

  it('reports the reason that the other side gave for closing', async () => {
    const { peer, closed } = await connect();
    peer.close(1008, 'unknown token');
    expect(await closed).toBe('unknown token');
  });

  it('reports that nothing listens at the address', async () => {
    expect(await start(`ws://127.0.0.1:${await freePort()}`).closed).toContain('ECONNREFUSED');
  });

  it('closes when nothing arrives for longer than the heartbeat timeout', async () => {
    const { link, closed } = await connect();
    link.startHeartbeat({ intervalMs: 20, timeoutMs: 100, maxMessageBytes: 1 });
    expect(await closed).toBe('the coordinator was silent for more than 0.1 s');
  });

  it('sends heartbeats, and stays open while they are answered', async () => {
    const { link, peer, closed } = await connect();
    const beganMs = machineMs();
    link.startHeartbeat({ intervalMs: 20, timeoutMs: 600_000, maxMessageBytes: 1 });
    for (let count = 0; count < 3; count++) {
      const [data] = (await once(peer, 'message')) as [Buffer];
      const { type, sentMs } = heartbeatIn(data)!;
      expect(type).toBe('heartbeat');
      expect(sentMs).toBeGreaterThan(beganMs);
      expect(sentMs).toBeLessThan(machineMs());
      peer.send(encodeHeartbeat({ type: 'heartbeat-reply', sentMs, repliedMs: 1 }));
    }
    link.close(1000);
    expect(await closed).toBe('connection closed (1000)');
  });

  it("answers heartbeats with this machine's time, and pings; only other messages arrive", async () => {
    const { peer, message } = await connect();
    const beganMs = machineMs();
    const answered = once(peer, 'message');
    const pong = once(peer, 'pong');
    peer.ping('are you there?');
    peer.send(encodeHeartbeat({ type: 'heartbeat', sentMs: 7 }));
    peer.send(encodeFrame({ type: 'heartbeat', sentMs: 'seven' }));
    expect(String((await pong)[0])).toBe('are you there?');
    const reply = heartbeatIn(((await answered) as [Buffer])[0]);
    expect(reply).toEqual({ type: 'heartbeat-reply', sentMs: 7, repliedMs: expect.any(Number) });
    const { repliedMs } = reply as { repliedMs: number };
    expect(repliedMs).toBeGreaterThan(beganMs);
    expect(repliedMs).toBeLessThan(machineMs());
    // An invalid heartbeat arrives, so that the session rejects it.
    expect(decodeFrame(await message()).header).toEqual({ type: 'heartbeat', sentMs: 'seven' });
  });
});

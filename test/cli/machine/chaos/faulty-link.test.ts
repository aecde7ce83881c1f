// Real sockets on loopback, between two ends that the test controls.
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { FaultyLink } from '../../../../cli/machine/chaos/faulty-link.js';
import { builtFile } from '../../../../shared/built-file.js';
import { encodeFrame } from '../../../../shared/protocol/frame.js';
import { FakeClock } from '../../../support/fake-clock.js';

let server: Server;
let link: FaultyLink;
let clock: FakeClock;
beforeEach(async () => {
  clock = new FakeClock();
  server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  link = await FaultyLink.open((server.address() as AddressInfo).port, clock);
});
afterEach(async () => {
  await link.close();
  server.close();
});

/** Opens a connection through the link. @returns its two ends */
async function connectEnds(): Promise<{ worker: Socket; coordinator: Socket }> {
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const worker = connect(Number(new URL(link.url).port), '127.0.0.1');
  worker.on('error', () => undefined);
  const [coordinator] = await accepted;
  coordinator.on('error', () => undefined);
  return { worker, coordinator };
}

/** Resolves when the link has buffered bytes and started a timer. */
async function timerStarted(): Promise<void> {
  while (clock.running === 0) await new Promise((resolve) => setImmediate(resolve));
}

/** Resolves when the socket closes. Unlike once(), does not reject on an earlier error, such as a connection reset. */
function closeOf(socket: Socket | WebSocket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

async function received(socket: Socket, bytes: number): Promise<string> {
  let text = '';
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    text += String(chunk);
    if (text.length >= bytes) break;
  }
  return text;
}

describe('FaultyLink', () => {
  it('forwards bytes both ways, and the end of the connection', async () => {
    const { worker, coordinator } = await connectEnds();
    worker.write('hello');
    expect(await received(coordinator, 5)).toBe('hello');
    coordinator.write('welcome');
    expect(await received(worker, 7)).toBe('welcome');
    const closed = closeOf(coordinator);
    coordinator.resume();
    worker.destroy();
    await closed;
  });

  it('closes both ends when it is cut, and accepts a new connection', async () => {
    const { worker, coordinator } = await connectEnds();
    const closed = Promise.all([closeOf(worker), closeOf(coordinator)]);
    link.cut();
    await closed;
    const again = await connectEnds();
    again.worker.write('back');
    expect(await received(again.coordinator, 4)).toBe('back');
  });

  it('refuses connections until it accepts them again', async () => {
    const accept = link.refuse();
    const refused = connect(Number(new URL(link.url).port), '127.0.0.1');
    refused.on('error', () => undefined);
    await closeOf(refused);
    accept();
    const { worker, coordinator } = await connectEnds();
    worker.write('in');
    expect(await received(coordinator, 2)).toBe('in');
  });

  it('holds back bytes while stalled, and forwards them in order afterward', async () => {
    const { worker, coordinator } = await connectEnds();
    worker.write('a');
    expect(await received(coordinator, 1)).toBe('a');
    const release = link.stall();
    const other = await connectEnds();
    worker.write('b');
    // Connections opened during the stall are not affected.
    other.worker.write('new');
    expect(await received(other.coordinator, 3)).toBe('new');
    worker.write('c');
    release();
    expect(await received(coordinator, 2)).toBe('bc');
  });

  it('delays bytes', async () => {
    const { worker, coordinator } = await connectEnds();
    link.impair({ delayMs: 40 });
    const arrived = received(coordinator, 2);
    worker.write('ab');
    // The link has a timer only while bytes are delayed.
    await timerStarted();
    expect(coordinator.bytesRead).toBe(0);
    clock.advance(40);
    expect(await arrived).toBe('ab');
  });

  it('forwards 1,000 bytes at 10,000 bytes per second in 100 ms', async () => {
    const { worker, coordinator } = await connectEnds();
    link.impair({ bytesPerSecond: 10_000 });
    const arrived = received(coordinator, 1000);
    worker.write('x'.repeat(1000));
    await timerStarted();
    clock.advance(99);
    expect(coordinator.bytesRead).toBe(0);
    clock.advance(1);
    expect(await arrived).toHaveLength(1000);
  });

  it('reports the middle of a message, and delivers no more when it is cut there', async () => {
    const coordinator = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    await once(coordinator, 'listening');
    const toCoordinator = await FaultyLink.open((coordinator.address() as AddressInfo).port);
    const points: string[] = [];
    toCoordinator.on('mark', ({ direction, point, message }) => {
      points.push(`${direction} ${message.type} ${point}`);
      if (point === 'middle') toCoordinator.cut();
    });
    const connected = once(coordinator, 'connection') as Promise<[WebSocket]>;
    const worker = new WebSocket(toCoordinator.url);
    const [atCoordinator] = await connected;
    const messages: unknown[] = [];
    atCoordinator.on('message', (data) => messages.push(data)).on('error', () => undefined);
    worker.on('error', () => undefined);
    if (worker.readyState !== WebSocket.OPEN) await once(worker, 'open');
    const evaluation = { type: 'evaluation', step: 0, split: 'test', index: 0, topFiveCount: 0 };
    worker.send(encodeFrame({ ...evaluation, sampleCount: 1, lossSum: 0, correctCount: 0 }, new Uint8Array(100_000)));
    await Promise.all([closeOf(worker), closeOf(atCoordinator)]);
    expect(points).toEqual(['up evaluation head', 'up evaluation middle']);
    expect(messages).toEqual([]);
    await toCoordinator.close();
    coordinator.close();
  });
});

it('FaultyLink lets its process exit after closing a connection that is still ending', async () => {
  const program = fileURLToPath(new URL('../../../support/ended-connection.mjs', import.meta.url));
  const built = (source: string) => builtFile(source.replace(/^.*\//, ''), new URL(source, import.meta.url).href).href;
  const modules = [built('../../../../cli/machine/chaos/faulty-link.js'), built('../../../../shared/clock.js')];
  // A socket left open would keep the process alive.
  const { stdout } = await promisify(execFile)(process.execPath, [program, ...modules], { timeout: 60_000 });
  expect(stdout).toBe('closed\n');
});

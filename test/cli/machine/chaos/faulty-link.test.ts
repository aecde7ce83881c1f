// A relay with faults: what passes, what does not, and what is told. Real sockets on loopback, between two of our own ends.
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

/** Both ends of a connection through the link. */
async function connectEnds(): Promise<{ worker: Socket; coordinator: Socket }> {
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const worker = connect(Number(new URL(link.url).port), '127.0.0.1');
  worker.on('error', () => undefined);
  const [coordinator] = await accepted;
  coordinator.on('error', () => undefined);
  return { worker, coordinator };
}

/** Resolves when bytes lie in the link until a timer rings. */
async function timerStarted(): Promise<void> {
  while (clock.running === 0) await new Promise((resolve) => setImmediate(resolve));
}

/** Not once(): it rejects where an error comes first, as it does with a reset. */
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

describe('a faulty link', () => {
  it('in fair conditions passes bytes both ways, and the end of either', async () => {
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

  it('that is cut closes at both ends, and the next connection is a new one', async () => {
    const { worker, coordinator } = await connectEnds();
    const closed = Promise.all([closeOf(worker), closeOf(coordinator)]);
    link.cut();
    await closed;
    const again = await connectEnds();
    again.worker.write('back');
    expect(await received(again.coordinator, 4)).toBe('back');
  });

  it('that refuses lets nobody in until it is told to', async () => {
    const accept = link.refuse();
    const refused = connect(Number(new URL(link.url).port), '127.0.0.1');
    refused.on('error', () => undefined);
    await closeOf(refused);
    accept();
    const { worker, coordinator } = await connectEnds();
    worker.write('in');
    expect(await received(coordinator, 2)).toBe('in');
  });

  it('that stalls keeps what is sent, in order, and passes it on afterwards', async () => {
    const { worker, coordinator } = await connectEnds();
    worker.write('a');
    expect(await received(coordinator, 1)).toBe('a');
    const goOn = link.stall();
    const other = await connectEnds();
    worker.write('b');
    // A connection made during the stall is not part of it.
    other.worker.write('new');
    expect(await received(other.coordinator, 3)).toBe('new');
    worker.write('c');
    goOn();
    expect(await received(coordinator, 2)).toBe('bc');
  });

  it('that is late passes bytes on when they are due', async () => {
    const { worker, coordinator } = await connectEnds();
    link.worsen({ delayMs: 40 });
    const arrived = received(coordinator, 2);
    worker.write('ab');
    // The link's timer is due 40 ms after the bytes came; before that there is none.
    await timerStarted();
    expect(coordinator.bytesRead).toBe(0);
    clock.advance(40);
    expect(await arrived).toBe('ab');
  });

  it('that is slow passes 1,000 bytes at 10,000 a second in 100 ms', async () => {
    const { worker, coordinator } = await connectEnds();
    link.worsen({ bytesPerSecond: 10_000 });
    const arrived = received(coordinator, 1000);
    worker.write('x'.repeat(1000));
    await timerStarted();
    clock.advance(99);
    expect(coordinator.bytesRead).toBe(0);
    clock.advance(1);
    expect(await arrived).toHaveLength(1000);
  });

  it('tells of a message half through, and cut there it delivers no more', async () => {
    const coordinator = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    await once(coordinator, 'listening');
    const toCoordinator = await FaultyLink.open((coordinator.address() as AddressInfo).port);
    const places: string[] = [];
    toCoordinator.on('mark', ({ direction, place, message }) => {
      places.push(`${direction} ${message.type} ${place}`);
      if (place === 'middle') toCoordinator.cut();
    });
    const connected = once(coordinator, 'connection') as Promise<[WebSocket]>;
    const worker = new WebSocket(toCoordinator.url);
    const [atCoordinator] = await connected;
    const messages: unknown[] = [];
    atCoordinator.on('message', (data) => messages.push(data)).on('error', () => undefined);
    worker.on('error', () => undefined);
    if (worker.readyState !== WebSocket.OPEN) await once(worker, 'open');
    const evaluation = { type: 'evaluation', step: 0, split: 'test', index: 0 };
    worker.send(encodeFrame({ ...evaluation, sampleCount: 1, lossSum: 0, correctCount: 0 }, new Uint8Array(100_000)));
    await Promise.all([closeOf(worker), closeOf(atCoordinator)]);
    expect(places).toEqual(['up evaluation head', 'up evaluation middle']);
    expect(messages).toEqual([]);
    await toCoordinator.close();
    coordinator.close();
  });
});

it('lets its process end where it closes a connection whose end is not through yet', async () => {
  const program = fileURLToPath(new URL('../../../support/ended-connection.mjs', import.meta.url));
  const built = (source: string) => builtFile(source.replace(/^.*\//, ''), new URL(source, import.meta.url).href).href;
  const modules = [built('../../../../cli/machine/chaos/faulty-link.js'), built('../../../../shared/clock.js')];
  // Nothing that is still open is told of: the process would be at its clean-up for ever.
  const { stdout } = await promisify(execFile)(process.execPath, [program, ...modules], { timeout: 60_000 });
  expect(stdout).toBe('closed\n');
});

// Hostile clients: what each sends on a separate connection, and the close code or HTTP status with which the
// coordinator must disconnect it. Each client has a separate address in 127.0.0.0/8 (on Linux), so that per-address
// limits do not interfere.
import type { EventEmitter } from 'node:events';
import { connect } from 'node:net';
import { Packr } from 'msgpackr';
import * as fc from 'fast-check';
import { WebSocket } from 'ws';
import { protocolVersion, type Hello } from '../../shared/protocol/messages.js';

export interface Target {
  port: number;
  /** Message length that exceeds that of any legal message, in bytes. */
  tooLong: number;
  /** A valid SHA-256 that belongs to no shard. */
  shard: string;
}

export interface HostileAct {
  name: string;
  /** Allowed WebSocket close codes or HTTP statuses; 0 for a connection that ends without either. */
  expected: readonly number[];
  /** Number of hostile messages sent per connection. */
  messages: number;
  /** Performs the attack. @param seed determines address and content @returns close code or HTTP status */
  run: (target: Target, seed: number) => Promise<number>;
}

const hello: Hello = {
  type: 'hello',
  protocolVersion,
  lockstepVersion: '0.1.0',
  token: '',
  name: 'hostile',
  engines: [{ engine: 'fake', fingerprint: 'fake/1', device: 'a fake device' }],
  cachedShards: [],
};
const packr = new Packr({ useRecords: false });
const phases = { waitMs: 0, augmentMs: 0, computeMs: 0, reduceMs: 0, sendMs: 0 };
const answer = { type: 'gradient', step: 0, range: { first: 0, count: 1 }, sampleCount: 8, phases };

function addressOf(seed: number): string {
  return `127.${1 + ((seed >> 16) & 127)}.${(seed >> 8) & 255}.${1 + (seed % 250)}`;
}

/** Resolves with the close code, if there is one. Unlike once(), does not reject if an error is emitted first. */
function closeOf(socket: EventEmitter): Promise<number> {
  return new Promise((resolve) => socket.once('close', (code: unknown) => resolve(Number(code))));
}

/** Returns a frame with arbitrary bytes as its header. */
function framed(header: Uint8Array, payloadBytes = 0): Buffer {
  const offset = Math.ceil((4 + header.length) / 8) * 8;
  const frame = Buffer.alloc(offset + payloadBytes);
  frame.writeUInt32LE(header.length, 0);
  frame.set(header, 4);
  return frame;
}
const packed = (header: unknown, payloadBytes = 0) => framed(packr.pack(header), payloadBytes);

/**
 * Returns an attack that sends messages over a WebSocket, after a valid hello if `joins` is true. It resolves with the
 * close code.
 */
function sending(joins: boolean, messages: (target: Target, seed: number) => readonly Buffer[]): HostileAct['run'] {
  return async (target, seed) => {
    const socket = new WebSocket(`ws://127.0.0.1:${target.port}/worker`, {
      localAddress: addressOf(seed),
      perMessageDeflate: false,
    });
    const closed = closeOf(socket);
    // Only the close code matters.
    socket.on('error', () => undefined);
    socket.on('open', () => {
      for (const message of [...(joins ? [packed(hello)] : []), ...messages(target, seed)]) socket.send(message);
    });
    return closed;
  };
}

/** Returns an attack that sends bytes over TCP. It resolves with the HTTP status, the code in a close frame, or 0. */
function sendingOverTcp(bytes: (seed: number) => Buffer, endsItself = false): HostileAct['run'] {
  return async ({ port }, seed) => {
    const socket = connect({ port, host: '127.0.0.1', localAddress: addressOf(seed) });
    let answered = Buffer.alloc(0);
    socket.on('error', () => undefined);
    socket.on('data', (data) => {
      answered = Buffer.concat([answered, data]);
    });
    const closed = closeOf(socket);
    socket.write(bytes(seed));
    if (endsItself) socket.end();
    await closed;
    const text = answered.toString('latin1');
    const upgraded = text.indexOf('\r\n\r\n');
    if (text.startsWith('HTTP/1.1 101')) {
      const frame = answered.subarray(upgraded + 4);
      return frame.length >= 4 && frame[0] === 0x88 ? frame.readUInt16BE(2) : 0;
    }
    return Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0);
  };
}

const upgrade =
  'GET /worker HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';
/** Returns a masked WebSocket frame whose mask is all zeros. */
const webSocketFrame = (first: number, content: Buffer) =>
  Buffer.concat([Buffer.from([first, 0x80 | content.length, 0, 0, 0, 0]), content]);
const bombs = [
  [0xc9, 0xff, 0xff, 0xff, 0xff, 1], // extension of 4 GiB
  [0xdd, 0xff, 0xff, 0xff, 0xff], // array of 4 billion elements
  [0xdf, 0x7f, 0xff, 0xff, 0xff], // map of 2 billion entries
  [0xd4, 0x72, 0x40], // record extension of msgpackr
  [0xc7, 0, 0x62], // bigint extension of msgpackr
  Array.from({ length: 5000 }, () => 0x91), // 5,000 nested arrays
];

export const hostileActs: readonly HostileAct[] = [
  {
    name: 'a random object as a header',
    expected: [1008],
    messages: 1,
    run: sending(false, (_, seed) => {
      const [header] = fc.sample(
        fc.object({ maxDepth: 3, key: fc.constantFrom('type', 'step', 'token', '__proto__') }),
        {
          numRuns: 1,
          seed,
        },
      );
      return [packed(header)];
    }),
  },
  {
    name: 'bytes that are not a frame',
    expected: [1008],
    messages: 1,
    run: sending(false, (_, seed) => [
      Buffer.from(fc.sample(fc.uint8Array({ maxLength: 400 }), { numRuns: 1, seed })[0]),
    ]),
  },
  {
    name: 'msgpack bombs',
    expected: [1008],
    messages: 1,
    run: sending(false, (_, seed) => [framed(Buffer.from(bombs[seed % bombs.length]))]),
  },
  {
    name: 'keys that pollute prototypes',
    expected: [1008],
    messages: 1,
    run: sending(false, () => [
      // Only JSON.parse creates `__proto__` as an own property.
      packed(JSON.parse(JSON.stringify(hello).replace('{', '{"__proto__":{"role":"owner"},"constructor":{},'))),
    ]),
  },
  {
    name: 'too long before a hello',
    expected: [1009, 1006],
    messages: 1,
    run: sending(false, ({ tooLong }) => [Buffer.alloc(tooLong)]),
  },
  {
    name: 'no hello',
    expected: [1008],
    messages: 1,
    run: sending(false, () => [packed({ ...answer, slices: [{ lossSum: 1, correctCount: 0 }] })]),
  },
  {
    name: 'a step that was not assigned',
    expected: [1008],
    messages: 1,
    run: sending(true, (_, seed) => [
      packed({ ...answer, step: 1e6 + seed, slices: [{ lossSum: 1, correctCount: 0 }] }, 64),
    ]),
  },
  {
    name: 'a payload of the wrong length',
    expected: [1008],
    messages: 1,
    run: sending(true, (_, seed) => [packed({ ...answer, slices: [] }, seed % 999)]),
  },
  {
    name: 'wrong types after a hello',
    expected: [1008],
    messages: 1,
    run: sending(true, () => [packed({ type: 'evaluation', step: 'x', split: [], index: {} })]),
  },
  {
    name: 'a heartbeat before a hello',
    expected: [1008],
    messages: 1,
    run: sending(false, () => [packed({ type: 'heartbeat', sentMs: 1 })]),
  },
  {
    name: 'heartbeats, then one with a payload',
    expected: [1008],
    messages: 101,
    run: sending(true, (_, seed) => [
      ...Array.from({ length: 100 }, (_value, sentMs) => packed({ type: 'heartbeat', sentMs })),
      packed({ type: 'heartbeat', sentMs: 1 }, 1 + (seed % 999)),
    ]),
  },
  { name: 'a second hello', expected: [1008], messages: 1, run: sending(true, () => [packed(hello)]) },
  {
    name: 'a hundred repeated messages, then a request for missing bytes',
    expected: [1008],
    messages: 101,
    run: sending(true, ({ shard }) => [
      ...Array.from({ length: 100 }, () => packed({ type: 'shard-held', sha256: shard })),
      packed({ type: 'shard-request', sha256: shard, offset: 0, bytes: 1e12 }),
    ]),
  },
  {
    name: 'paths as shard hashes',
    expected: [1008],
    messages: 1,
    run: sending(true, () => [packed({ type: 'shard-request', sha256: '../../etc/passwd', offset: 0, bytes: 1 })]),
  },
  {
    name: 'frames with reserved bits',
    expected: [1002],
    messages: 1,
    run: sendingOverTcp((seed) =>
      Buffer.concat([Buffer.from(upgrade), webSocketFrame(0xf2, Buffer.from([seed & 255]))]),
    ),
  },
  {
    name: 'text that is not UTF-8',
    expected: [1007],
    messages: 1,
    run: sendingOverTcp(() => Buffer.concat([Buffer.from(upgrade), webSocketFrame(0x81, Buffer.from([0xc3, 0x28]))])),
  },
  {
    name: 'a truncated frame',
    expected: [0, 1006],
    messages: 1,
    run: sendingOverTcp(
      () => Buffer.concat([Buffer.from(upgrade), Buffer.from([0x82, 0xfe, 0x10, 0, 0, 0, 0, 0, 1, 2])]),
      true,
    ),
  },
  {
    name: 'part of a handshake',
    expected: [0, 400],
    messages: 1,
    run: sendingOverTcp((seed) => Buffer.from(upgrade.slice(0, 1 + (seed % (upgrade.length - 2)))), true),
  },
  {
    name: 'bytes that are not HTTP',
    expected: [400],
    messages: 1,
    run: sendingOverTcp((seed) => Buffer.from(`${seed} is not a method\r\n\r\n`)),
  },
  {
    name: 'endless headers',
    expected: [431, 0],
    messages: 1,
    run: sendingOverTcp(() => Buffer.from(`GET / HTTP/1.1\r\nX: ${'x'.repeat(20_000)}`)),
  },
];

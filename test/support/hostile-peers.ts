// Peers that mean no good, one act each on a connection of its own: what they send, and with which code they are to be sent
// away. On Linux every one comes from an address of its own in 127.0.0.0/8, so that what is tried is the message and not the
// limit on an address.
import type { EventEmitter } from 'node:events';
import { connect } from 'node:net';
import { Packr } from 'msgpackr';
import * as fc from 'fast-check';
import { WebSocket } from 'ws';
import { protocolVersion, type Hello } from '../../shared/protocol/messages.js';

export interface Target {
  port: number;
  /** Longer than any legal message. */
  tooLong: number;
  /** The hash of a shard that there is. */
  shard: string;
}

export interface HostileAct {
  name: string;
  /** WebSocket close codes, or statuses of HTTP, any of which is right; 0 for a connection that just ends. */
  expected: readonly number[];
  /** Hostile messages that it sends. */
  messages: number;
  /** @param seed chooses address and content @returns how it was sent away */
  run: (target: Target, seed: number) => Promise<number>;
}

const hello: Hello = {
  type: 'hello',
  protocolVersion,
  lockstepVersion: '0.1.0',
  token: '',
  name: 'hostile',
  engine: { engine: 'fake', fingerprint: 'fake/1', device: 'a fake device' },
  cachedShards: [],
};
const packr = new Packr({ useRecords: false });
const phases = { waitMs: 0, augmentMs: 0, computeMs: 0, reduceMs: 0, sendMs: 0 };
const answer = { type: 'gradient', step: 0, range: { first: 0, count: 1 }, sampleCount: 8, phases };

function addressOf(seed: number): string {
  return `127.${1 + ((seed >> 16) & 127)}.${(seed >> 8) & 255}.${1 + (seed % 250)}`;
}

/** Its code, where it has one. Not once(): that rejects where an error comes before. */
function closeOf(socket: EventEmitter): Promise<number> {
  return new Promise((resolve) => socket.once('close', (code: unknown) => resolve(Number(code))));
}

/** A frame around any bytes at all in the header's place. */
function framed(header: Uint8Array, payloadBytes = 0): Buffer {
  const offset = Math.ceil((4 + header.length) / 8) * 8;
  const frame = Buffer.alloc(offset + payloadBytes);
  frame.writeUInt32LE(header.length, 0);
  frame.set(header, 4);
  return frame;
}
const packed = (header: unknown, payloadBytes = 0) => framed(packr.pack(header), payloadBytes);

/** Says these over a WebSocket, after a right hello where it joins first. @returns the close code */
function saying(joins: boolean, messages: (target: Target, seed: number) => readonly Buffer[]): HostileAct['run'] {
  return async (target, seed) => {
    const socket = new WebSocket(`ws://127.0.0.1:${target.port}/worker`, {
      localAddress: addressOf(seed),
      perMessageDeflate: false,
    });
    const closed = closeOf(socket);
    // What the other side does to it is what is asked about; the code tells.
    socket.on('error', () => undefined);
    socket.on('open', () => {
      for (const message of [...(joins ? [packed(hello)] : []), ...messages(target, seed)]) socket.send(message);
    });
    return closed;
  };
}

/** Says bytes over TCP and ends. @returns the status of HTTP or the code of a closing frame, or 0 */
function sayingOverTcp(bytes: (seed: number) => Buffer, endsItself = false): HostileAct['run'] {
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
/** A masked WebSocket frame with a mask of zeros. */
const webSocketFrame = (first: number, content: Buffer) =>
  Buffer.concat([Buffer.from([first, 0x80 | content.length, 0, 0, 0, 0]), content]);
const bombs = [
  [0xc9, 0xff, 0xff, 0xff, 0xff, 1], // an extension of 4 GiB
  [0xdd, 0xff, 0xff, 0xff, 0xff], // an array of 4 billion
  [0xdf, 0x7f, 0xff, 0xff, 0xff], // a map of 2 billion
  [0xd4, 0x72, 0x40], // msgpackr's own records
  [0xc7, 0, 0x62], // its bigint
  Array.from({ length: 5000 }, () => 0x91), // nested
];

export const hostileActs: readonly HostileAct[] = [
  {
    name: 'anything at all as a header',
    expected: [1008],
    messages: 1,
    run: saying(false, (_, seed) => {
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
    name: 'bytes that are no frame',
    expected: [1008],
    messages: 1,
    run: saying(false, (_, seed) => [
      Buffer.from(fc.sample(fc.uint8Array({ maxLength: 400 }), { numRuns: 1, seed })[0]),
    ]),
  },
  {
    name: 'bombs of msgpack',
    expected: [1008],
    messages: 1,
    run: saying(false, (_, seed) => [framed(Buffer.from(bombs[seed % bombs.length]))]),
  },
  {
    name: 'keys that pollute prototypes',
    expected: [1008],
    messages: 1,
    run: saying(false, () => [
      // As an own key, which an object of JSON has.
      packed(JSON.parse(JSON.stringify(hello).replace('{', '{"__proto__":{"role":"owner"},"constructor":{},'))),
    ]),
  },
  {
    name: 'too long before a hello',
    expected: [1009, 1006],
    messages: 1,
    run: saying(false, ({ tooLong }) => [Buffer.alloc(tooLong)]),
  },
  {
    name: 'no hello',
    expected: [1008],
    messages: 1,
    run: saying(false, () => [packed({ ...answer, slices: [{ lossSum: 1, correctCount: 0 }] })]),
  },
  {
    name: 'a step that was not asked for',
    expected: [1008],
    messages: 1,
    run: saying(true, (_, seed) => [
      packed({ ...answer, step: 1e6 + seed, slices: [{ lossSum: 1, correctCount: 0 }] }, 64),
    ]),
  },
  {
    name: 'another length',
    expected: [1008],
    messages: 1,
    run: saying(true, (_, seed) => [packed({ ...answer, slices: [] }, seed % 999)]),
  },
  {
    name: 'wrong types after a hello',
    expected: [1008],
    messages: 1,
    run: saying(true, () => [packed({ type: 'evaluation', step: 'x', split: [], index: {} })]),
  },
  { name: 'a hello twice', expected: [1008], messages: 1, run: saying(true, () => [packed(hello)]) },
  {
    name: 'the same word a hundred times, then what is not there',
    expected: [1008],
    messages: 101,
    run: saying(true, ({ shard }) => [
      ...Array.from({ length: 100 }, () => packed({ type: 'shard-held', sha256: shard })),
      packed({ type: 'shard-request', sha256: shard, offset: 0, bytes: 1e12 }),
    ]),
  },
  {
    name: 'shards under names that are paths',
    expected: [1008],
    messages: 1,
    run: saying(true, () => [packed({ type: 'shard-request', sha256: '../../etc/passwd', offset: 0, bytes: 1 })]),
  },
  {
    name: 'frames with reserved bits',
    expected: [1002],
    messages: 1,
    run: sayingOverTcp((seed) =>
      Buffer.concat([Buffer.from(upgrade), webSocketFrame(0xf2, Buffer.from([seed & 255]))]),
    ),
  },
  {
    name: 'text that is none',
    expected: [1007],
    messages: 1,
    run: sayingOverTcp(() => Buffer.concat([Buffer.from(upgrade), webSocketFrame(0x81, Buffer.from([0xc3, 0x28]))])),
  },
  {
    name: 'a frame cut short',
    expected: [0, 1006],
    messages: 1,
    run: sayingOverTcp(
      () => Buffer.concat([Buffer.from(upgrade), Buffer.from([0x82, 0xfe, 0x10, 0, 0, 0, 0, 0, 1, 2])]),
      true,
    ),
  },
  {
    name: 'half a handshake',
    expected: [0, 400],
    messages: 1,
    run: sayingOverTcp((seed) => Buffer.from(upgrade.slice(0, 1 + (seed % (upgrade.length - 2)))), true),
  },
  {
    name: 'no HTTP',
    expected: [400],
    messages: 1,
    run: sayingOverTcp((seed) => Buffer.from(`${seed} is no method\r\n\r\n`)),
  },
  {
    name: 'headers without end',
    expected: [431, 0],
    messages: 1,
    run: sayingOverTcp(() => Buffer.from(`GET / HTTP/1.1\r\nX: ${'x'.repeat(20_000)}`)),
  },
];

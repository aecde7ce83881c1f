import { array, assert, boolean, constantFrom, integer, property } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PayloadGatherer } from '../../../shared/protocol/payload-gatherer.js';

/** Encodes a frame as a WebSocket sender does; with a mask of zeros if `isMasked`. */
function frameOf(payload: Buffer, isMasked: boolean): Buffer {
  const { length } = payload;
  const short = length < 126 ? length : length < 65_536 ? 126 : 127;
  const extended = Buffer.alloc(short < 126 ? 0 : short === 126 ? 2 : 8);
  if (short === 126) extended.writeUInt16BE(length);
  if (short === 127) extended.writeUInt32BE(length, 4);
  const mask = Buffer.alloc(isMasked ? 4 : 0);
  return Buffer.concat([Buffer.from([0x82, short | (isMasked ? 0x80 : 0)]), extended, mask, payload]);
}

const payloadOf = (bytes: number) => Buffer.alloc(bytes, 'abcdefg');
const http = Buffer.from('HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n');

describe('PayloadGatherer', () => {
  it('passes on all bytes in order, and every payload of 64 KiB or more in one piece, whatever the chunks', () => {
    const lengths = constantFrom(0, 1, 125, 126, 65_535, 65_536, 200_000);
    const messages = array(lengths, { maxLength: 4 });
    // Sizes of reads: the first bytes one by one, or any mix.
    const sizes = array(integer({ min: 1, max: 150_000 }), { minLength: 1, maxLength: 6 });
    assert(
      property(messages, sizes, boolean(), boolean(), (payloads, reads, isMasked, afterHttp) => {
        const frames = payloads.map((bytes) => frameOf(payloadOf(bytes), isMasked));
        const stream = Buffer.concat([...(afterHttp ? [http] : []), ...frames]);
        const gatherer = new PayloadGatherer(afterHttp ? 'http' : 'frames', (bytes) => Buffer.alloc(bytes));
        const pieces: Buffer[] = [];
        for (let at = 0, read = 0; at < stream.length; read++) {
          const { target } = gatherer;
          const chunk = stream.subarray(at, at + reads[read % reads.length]);
          // Alternate between the two ways of reading.
          const filled = target !== undefined && read % 2 === 0 ? chunk.copy(target) : 0;
          const payload = filled > 0 ? gatherer.filled(filled) : undefined;
          if (payload !== undefined) pieces.push(payload);
          if (filled === 0) pieces.push(...gatherer.receive(Buffer.from(chunk)));
          at += filled > 0 ? filled : chunk.length;
        }
        expect(Buffer.concat(pieces).equals(stream)).toBe(true);
        const large: number[] = payloads.filter((bytes) => bytes >= 65_536);
        expect(pieces.filter(({ length }) => large.includes(length)).map(({ length }) => length)).toEqual(large);
      }),
      { numRuns: 100 },
    );
  });

  it('passes on a payload in pieces if no memory is given', () => {
    const frame = frameOf(payloadOf(100_000), true);
    const asked: number[] = [];
    const gatherer = new PayloadGatherer('frames', (bytes) => {
      asked.push(bytes);
      return undefined;
    });
    const pieces = [frame.subarray(0, 40_000), frame.subarray(40_000)].flatMap((chunk) => gatherer.receive(chunk));
    expect(asked).toEqual([100_000]);
    // The header has 2 + 8 + 4 bytes.
    expect(pieces.map(({ length }) => length)).toEqual([14, 39_986, 60_014]);
    expect(gatherer.target).toBeUndefined();
  });
});

import { describe, expect, it } from 'vitest';
import { decodeFrame, encodeFrame, floatsOf, maxHeaderBytes, OutgoingFrame } from '../../../shared/protocol/frame.js';

const protocolError = (message: string) =>
  expect.objectContaining({ name: 'ProtocolError', code: 'protocol', message: expect.stringContaining(message) });

/** Returns a frame with these bytes as its header. */
function rawFrame(header: Uint8Array, claimedBytes = header.length): Buffer {
  const frame = Buffer.alloc(Math.ceil((4 + header.length) / 8) * 8);
  frame.writeUInt32LE(claimedBytes, 0);
  frame.set(header, 4);
  return frame;
}

describe('a frame', () => {
  it('consists of the header length, the header, zeros up to a multiple of 8, and the payload', () => {
    // In msgpack, 0x81 is a map of one entry, 0xa1 a text of one byte, 0x61 the letter a, and 0x05 the number 5. The length
    // and the header take 4 + 4 bytes.
    expect(Buffer.from(encodeFrame({ a: 5 }, Uint8Array.of(7, 8))).toString('hex')).toBe('0400000081a161050708');
    // 0xa3 is a text of three bytes. The length and the header take 4 + 6 bytes, followed by 6 zeros.
    expect(Buffer.from(encodeFrame({ abc: 5 }, Uint8Array.of(7))).toString('hex')).toBe(
      `0600000081a361626305${'00'.repeat(6)}07`,
    );
  });

  it('is decoded to what was encoded', () => {
    const header = { type: 'x', list: [1, -1, 0.1, 2 ** 53 - 1], nested: { yes: true, none: null }, text: 'größe' };
    const { header: read, payload } = decodeFrame(encodeFrame(header, Uint8Array.of(1, 2), Uint8Array.of(3)));
    expect(read).toEqual(header);
    expect([...payload]).toEqual([1, 2, 3]);
  });

  it('may have an empty payload', () => {
    expect(decodeFrame(encodeFrame({ a: 1 })).payload.length).toBe(0);
  });

  it.each([0, 1, 2, 3, 4, 5, 6, 7])('has its payload at a multiple of 8 with %i more bytes of header', (more) => {
    const frame = encodeFrame({ a: 'x'.repeat(more) }, Uint8Array.of(9));
    expect((frame.length - 1) % 8).toBe(0);
    expect(decodeFrame(frame)).toEqual({ header: { a: 'x'.repeat(more) }, payload: Buffer.of(9) });
  });

  it('is decoded without copying the payload', () => {
    const frame = encodeFrame({ a: 1 }, Uint8Array.of(1, 2, 3, 4));
    const { payload } = decodeFrame(frame);
    expect(payload.buffer).toBe(frame.buffer);
    expect(payload.byteOffset).toBe(frame.byteOffset + frame.length - 4);
  });
});

describe('a malformed frame', () => {
  it.each([0, 1, 3])('of %i bytes is refused', (length) => {
    expect(() => decodeFrame(new Uint8Array(length))).toThrow(
      protocolError(`a message of ${length} bytes has no header length`),
    );
  });

  it('truncated in its header or padding is refused', () => {
    // The length and the header take 4 + 6 bytes, followed by 6 zeros.
    const frame = encodeFrame({ abc: 5 });
    for (let length = 4; length < frame.length; length++) {
      expect(() => decodeFrame(frame.subarray(0, length))).toThrow(
        protocolError(`a message of ${length} bytes claims a header of 6 bytes`),
      );
    }
  });

  it('that claims a header of 4 GiB is refused', () => {
    expect(() => decodeFrame(rawFrame(Uint8Array.of(0x80), 0xffff_ffff))).toThrow(
      protocolError('claims a header of 4294967295 bytes'),
    );
  });

  it('whose header is too long is refused, even if it is complete', () => {
    expect(() => decodeFrame(rawFrame(new Uint8Array(maxHeaderBytes + 1).fill(0xc0)))).toThrow(
      protocolError(`claims a header of ${maxHeaderBytes + 1} bytes`),
    );
  });

  it.each([
    ['nothing', ''],
    ['half a map', '82a16101'],
    ['more than one value', '0102'],
    ['a list of 2^32 - 1 elements', 'ddffffffff'],
    ['a map of 2^32 - 1 entries', 'dfffffffff'],
    ['a string of 2^32 - 1 bytes', 'dbffffffff'],
    ['many long lists', 'dd0000ffff'.repeat(1000)],
    ['lists nested a million deep', '91'.repeat(2 ** 20)],
  ])('with %s as its header is refused', (_, hex) => {
    expect(() => decodeFrame(rawFrame(Buffer.from(hex, 'hex')))).toThrow(protocolError('a header is not msgpack'));
  });
});

describe('an outgoing frame', () => {
  it('has the same bytes as an encoded message', () => {
    const frame = new OutgoingFrame(3);
    frame.payload.set([1, -2, 0.5]);
    const header = { type: 'gradient', step: 351 };
    expect(frame.seal(header)).toEqual(
      Uint8Array.from(encodeFrame(header, new Uint8Array(Float32Array.of(1, -2, 0.5).buffer))),
    );
  });

  it('is sealed in place, without copying the payload', () => {
    const frame = new OutgoingFrame(1000);
    const sealed = frame.seal({ type: 'gradient' });
    expect(sealed.buffer).toBe(frame.payload.buffer);
    expect(sealed.byteOffset + sealed.length).toBe(frame.payload.byteOffset + 4000);
  });

  it('can be reused with a longer or a shorter header', () => {
    const frame = new OutgoingFrame(1);
    for (const header of [{ a: 1 }, { a: 'a longer one' }, {}]) {
      frame.payload[0] = 0.25;
      const decoded = decodeFrame(frame.seal(header));
      expect(decoded.header).toEqual(header);
      expect([...floatsOf(decoded.payload, 1)]).toEqual([0.25]);
    }
  });

  it('has space for the report on each of 4,096 slices', () => {
    const slices = Array.from({ length: 4096 }, () => ({ lossSum: 1.1, correctCount: 0xffff_ffff }));
    const frame = new OutgoingFrame(1, 40 * slices.length);
    expect(decodeFrame(frame.seal({ slices })).header).toEqual({ slices });
  });

  it('refuses a header that is too long for it', () => {
    expect(() => new OutgoingFrame(1).seal({ text: 'x'.repeat(2000) })).toThrow(RangeError);
  });
});

describe('floatsOf', () => {
  it('views the values of a frame in place', () => {
    const frame = new OutgoingFrame(2);
    frame.payload.set([3, 4]);
    const floats = floatsOf(decodeFrame(frame.seal({ a: 1 })).payload, 2);
    expect([...floats]).toEqual([3, 4]);
    expect(floats.buffer).toBe(frame.payload.buffer);
  });

  // Buffer.slice() returns a view, unlike Uint8Array.slice(), which copies.
  it.each([
    ['array', new Uint8Array(29)],
    ['buffer', Buffer.alloc(29)],
  ])('copies values that are not aligned, from a byte %s', (_, memory) => {
    memory.set(new Uint8Array(Float32Array.of(1, 2, 3).buffer), 9);
    const floats = floatsOf(memory.subarray(9, 21), 3);
    expect([...floats]).toEqual([1, 2, 3]);
    expect(floats.buffer).not.toBe(memory.buffer);
  });

  it.each([0, 7, 9, 12])('refuses %i bytes where two values are expected', (bytes) => {
    expect(() => floatsOf(new Uint8Array(bytes), 2)).toThrow(
      protocolError(`expected a payload of 8 bytes, received ${bytes}`),
    );
  });
});

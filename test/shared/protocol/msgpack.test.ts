import { Packr } from 'msgpackr';
import { describe, expect, it } from 'vitest';
import { ProtocolError } from '../../../shared/errors.js';
import { pack, unpack } from '../../../shared/protocol/msgpack.js';

// Another implementation, to compare with.
const packr = new Packr({ useRecords: false, encodeUndefinedAsNil: false });
const check = (...bytes: number[]) => unpack(Uint8Array.from(bytes));

const integers = [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000, 0xffff_ffff, 2 ** 32, 2 ** 53 - 1];
const lengths = [0, 15, 16, 31, 32, 255, 256, 65_535, 65_536];
const values = {
  numbers: [
    ...integers,
    ...integers.slice(1).map((value) => -value),
    -32,
    -33,
    1.5,
    Math.PI,
    Number.NaN,
    Infinity,
    -Infinity,
  ],
  texts: lengths.flatMap((length) => ['x'.repeat(length), 'ß'.repeat(length)]),
  others: [null, true, false, '日本 🙂'],
  arrays: lengths.map((length) => Array.from({ length }, (_, index) => index)),
  // msgpackr cannot pack longer maps.
  maps: lengths
    .slice(0, -1)
    .map((length) => Object.fromEntries(Array.from({ length }, (_, index) => [`key ${index}`, index]))),
  header: { type: 'gradient', range: { first: 0, count: 2 }, slices: [{ lossSum: Number.NaN, correctCount: 3 }] },
};

describe('a packed value', () => {
  it.each(Object.entries(values))('is unpacked to what was packed, here and by msgpackr: %s', (_, value) => {
    expect(unpack(pack(value))).toStrictEqual(value);
    expect(packr.unpack(pack(value))).toStrictEqual(value);
  });

  it.each(Object.entries(values))('that msgpackr packed is unpacked: %s', (_, value) => {
    expect(unpack(packr.pack(value))).toStrictEqual(value);
  });

  it('can be a map of more than 65,535 entries', () => {
    const map = Object.fromEntries(Array.from({ length: 65_536 }, (_, index) => [`key ${index}`, index]));
    expect(unpack(pack(map))).toStrictEqual(map);
    expect(packr.unpack(pack(map))).toStrictEqual(map);
  });

  it('can contain texts with the same hash, short ones more than once, and more than are remembered', () => {
    const many = Array.from({ length: 5000 }, (_, index) => `text ${index}`);
    const texts = ['declinate', 'macallums', 'costarring', 'liquid', ...many];
    for (let time = 0; time < 2; time++) expect(unpack(pack(texts))).toStrictEqual(texts);
  });

  it('does not depend on the memory of earlier ones', () => {
    const packed = Buffer.from(pack(['before']));
    expect(unpack(packed)).toEqual(['before']);
    packed.fill(0x78, 2);
    expect(unpack(packed)).toEqual(['xxxxxx']);
    expect(unpack(pack(['before']))).toEqual(['before']);
  });

  it('keeps the sign of zero', () => {
    expect(unpack(pack([-0]))).toStrictEqual([-0]);
  });

  it('does not contain entries that are undefined', () => {
    expect(unpack(pack({ a: undefined, b: 1 }))).toStrictEqual({ b: 1 });
  });

  it('cannot contain anything but plain data', () => {
    expect(() => pack([Symbol('a')])).toThrow(new TypeError('a header cannot contain a symbol'));
  });
});

describe('unpack', () => {
  it('knows the size of every type', () => {
    // One value per type byte, followed by as many zero bytes as the type requires.
    for (let type = 0; type < 0x80; type++) check(type);
    for (let type = 0xe0; type <= 0xff; type++) check(type);
    for (let length = 0; length < 0x20; length++) check(0xa0 + length, ...Array<number>(length).fill(0));
    const sizes = { 0xc0: 0, 0xc2: 0, 0xc3: 0, 0xca: 4, 0xcb: 8, 0xcc: 1, 0xcd: 2, 0xce: 4, 0xcf: 8 };
    const others = {
      0xd0: 1,
      0xd1: 2,
      0xd2: 4,
      0xd3: 8,
      0xd9: 1,
      0xda: 2,
      0xdb: 4,
      0xdc: 2,
      0xdd: 4,
      0xde: 2,
      0xdf: 4,
    };
    for (const [type, size] of Object.entries({ ...sizes, ...others })) {
      const zeros = Array<number>(size).fill(0);
      expect(() => check(Number(type), ...zeros)).not.toThrow();
      expect(() => check(Number(type), ...zeros, 0)).toThrow('bytes after the end');
    }
  });

  it.each([
    ['nothing', [], 'too few bytes for the value'],
    ['text without its end', [0xa5, 0x61], 'too few bytes for the value'],
    ['a length without its end', [0xda, 0x01], 'too few bytes for the value'],
    ['bytes after the value', [0xc0, 0xc0], 'bytes after the end of the value'],
    ['an array of four billion', [0xdd, 0xff, 0xff, 0xff, 0xff], 'too few bytes for the value'],
    ['a map of four billion', [0xdf, 0xff, 0xff, 0xff, 0xff], 'too few bytes for the value'],
    // Nine nested one-element arrays around a nil.
    ['nine nested arrays', [...Array.from({ length: 9 }, () => 0x91), 0xc0], 'nested more than 8 levels deep'],
    ['an extension', [0xd4, 0x72, 0x40], 'unsupported type 0xd4'],
    ['a large extension', [0xc9, 0xff, 0xff, 0xff, 0xff, 0x74], 'unsupported type 0xc9'],
    ['raw bytes', [0xc4, 0x01, 0x00], 'unsupported type 0xc4'],
    ['the unused type', [0xc1], 'unsupported type 0xc1'],
    ['a number as a key', [0x81, 0x01, 0x01], 'a key that is not text'],
    ['a key that changes the prototype', [0x81, 0xa9, ...Buffer.from('__proto__'), 0x80], 'a key named __proto__'],
    ['text that is not UTF-8', [0xa1, 0xff], 'text that is not UTF-8'],
    ['an integer that float64 cannot represent', [0xcf, 0, 0x20, 0, 0, 0, 0, 0, 0], 'an integer that is too large'],
  ])('rejects %s', (_, bytes, problem) => {
    expect(() => check(...bytes)).toThrow(ProtocolError);
    expect(() => check(...bytes)).toThrow(problem);
  });
});

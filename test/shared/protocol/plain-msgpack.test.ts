import { Packr } from 'msgpackr';
import { describe, expect, it } from 'vitest';
import { ProtocolError } from '../../../shared/errors.js';
import { assertPlainMsgpack } from '../../../shared/protocol/plain-msgpack.js';

const packr = new Packr({ useRecords: false, encodeUndefinedAsNil: false });
const check = (...bytes: number[]) => assertPlainMsgpack(Uint8Array.from(bytes));

describe('assertPlainMsgpack', () => {
  it.each([
    [null],
    [true],
    [-33],
    [70_000],
    [2 ** 40],
    [1.5],
    ['a'.repeat(70_000)],
    [Array.from({ length: 70_000 }, (_, i) => i)],
    [{ type: 'gradient', range: { first: 0, count: 2 }, slices: [{ lossSum: Number.NaN, correctCount: 3 }] }],
    [Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`key ${i}`, i]))],
  ])('accepts what the other side writes: %#', (value) => {
    expect(() => assertPlainMsgpack(packr.pack(value))).not.toThrow();
  });

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
    ['nothing', [], 'it ends too early'],
    ['text without its end', [0xa5, 0x61], 'too few bytes for the value'],
    ['a length without its end', [0xda, 0x01], 'it ends within a length'],
    ['bytes after the value', [0xc0, 0xc0], 'bytes after the end of the value'],
    ['an array of four billion', [0xdd, 0xff, 0xff, 0xff, 0xff], 'too few bytes for the value'],
    ['a map of four billion', [0xdf, 0xff, 0xff, 0xff, 0xff], 'too few bytes for the value'],
    // Nine nested one-element arrays around a nil.
    ['nine nested arrays', [...Array.from({ length: 9 }, () => 0x91), 0xc0], 'nested more than 8 levels deep'],
    ['an extension', [0xd4, 0x72, 0x40], 'unsupported type 0xd4'],
    ['a large extension', [0xc9, 0xff, 0xff, 0xff, 0xff, 0x74], 'unsupported type 0xc9'],
    ['raw bytes', [0xc4, 0x01, 0x00], 'unsupported type 0xc4'],
    ['the unused type', [0xc1], 'unsupported type 0xc1'],
  ])('rejects %s', (_, bytes, problem) => {
    expect(() => check(...bytes)).toThrow(ProtocolError);
    expect(() => check(...bytes)).toThrow(problem);
  });
});

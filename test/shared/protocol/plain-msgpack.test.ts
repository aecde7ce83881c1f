import { Packr } from 'msgpackr';
import { describe, expect, it } from 'vitest';
import { ProtocolError } from '../../../shared/errors.js';
import { assertPlainMsgpack } from '../../../shared/protocol/plain-msgpack.js';

const packr = new Packr({ useRecords: false, encodeUndefinedAsNil: false });
const check = (...bytes: number[]) => assertPlainMsgpack(Uint8Array.from(bytes));

describe('plain msgpack', () => {
  it.each([
    [null],
    [true],
    [-33],
    [70_000],
    [2 ** 40],
    [1.5],
    ['a'.repeat(70_000)],
    [Array.from({ length: 70_000 }, (_, i) => i)],
    [{ type: 'gradient', node: { first: 0, count: 2 }, slices: [{ lossSum: Number.NaN, correctCount: 3 }] }],
    [Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`key ${i}`, i]))],
  ])('is what the other side writes: %#', (value) => {
    expect(() => assertPlainMsgpack(packr.pack(value))).not.toThrow();
  });

  it.each([
    ['nothing at all', [], 'it ends too early'],
    ['a text without its end', [0xa5, 0x61], 'it claims more than there is'],
    ['a length without its end', [0xda, 0x01], 'it ends in a length'],
    ['something behind its end', [0xc0, 0xc0], 'something follows its end'],
    ['an array of four thousand million', [0xdd, 0xff, 0xff, 0xff, 0xff], 'it claims more than there is'],
    ['a map of as many', [0xdf, 0xff, 0xff, 0xff, 0xff], 'it claims more than there is'],
    // Nine arrays of one element each around a nil.
    ['nine arrays in one another', [...Array.from({ length: 9 }, () => 0x91), 0xc0], 'nested more than 8 deep'],
    ['an extension', [0xd4, 0x72, 0x40], 'type 0xd4 is not spoken here'],
    ['a large extension', [0xc9, 0xff, 0xff, 0xff, 0xff, 0x74], 'type 0xc9 is not spoken here'],
    ['raw bytes', [0xc4, 0x01, 0x00], 'type 0xc4 is not spoken here'],
  ])('is not %s', (_, bytes, why) => {
    expect(() => check(...bytes)).toThrow(ProtocolError);
    expect(() => check(...bytes)).toThrow(why);
  });
});

import { describe, expect, it } from 'vitest';
import { LockstepError } from '../../../shared/errors.js';
import type { NamedArray } from '../../../shared/network/named-array.js';
import { decodeSafetensors, encodeSafetensors, namedArraysOf } from '../../../shared/network/safetensors.js';

const arrays: readonly NamedArray[] = [
  { name: 'a/kernel', shape: [2, 1], values: Float32Array.of(1, -2) },
  { name: 'a/bias', shape: [], values: Float32Array.of(0.5) },
  { name: 'empty', shape: [0, 3], values: new Float32Array() },
];

const fileOf = (...parts: Parameters<typeof encodeSafetensors>) => Buffer.concat(encodeSafetensors(...parts));

/** Returns a safetensors file with an arbitrary header. */
function fileWith(header: string, data = new Uint8Array()): Buffer {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(header)));
  return Buffer.concat([length, Buffer.from(header), data]);
}

const refusal = (why: string) =>
  expect.objectContaining({
    code: 'bad-checkpoint',
    message: expect.stringContaining(`m.safetensors is not a readable safetensors file: ${why}`),
  });

describe('a safetensors file', () => {
  it('consists of a header length, JSON with offsets, spaces up to a multiple of 8, and the values', () => {
    const file = fileOf(arrays.slice(0, 2), { format: 'lockstep' });
    const headerBytes = Number(file.readBigUInt64LE(0));
    const json = file.subarray(8, 8 + headerBytes).toString();
    expect(headerBytes % 8).toBe(0);
    expect(json).toMatch(/\} *$/);
    expect(JSON.parse(json)).toEqual({
      __metadata__: { format: 'lockstep' },
      'a/kernel': { dtype: 'F32', shape: [2, 1], data_offsets: [0, 8] },
      'a/bias': { dtype: 'F32', shape: [], data_offsets: [8, 12] },
    });
    // The little-endian float32 values 1, -2 and 0.5.
    expect(file.subarray(8 + headerBytes).toString('hex')).toBe('0000803f000000c00000003f');
  });

  it('is decoded to the arrays that it was encoded from', () => {
    expect([...decodeSafetensors(fileOf(arrays), 'm.safetensors').values()]).toEqual(arrays);
  });

  it('may be at any address in memory', () => {
    const file = fileOf(arrays);
    const shifted = new Uint8Array(file.length + 3);
    shifted.set(file, 3);
    expect([...decodeSafetensors(shifted.subarray(3), 'm.safetensors').values()]).toEqual(arrays);
  });

  it('is decoded to copies, so that changing an array does not change the file', () => {
    const file = fileOf(arrays);
    decodeSafetensors(file, 'm.safetensors').get('a/kernel')!.values[0] = 9;
    expect(decodeSafetensors(file, 'm.safetensors').get('a/kernel')!.values[0]).toBe(1);
  });
});

describe('a truncated file', () => {
  it('is rejected wherever it ends', () => {
    const file = fileOf(arrays);
    for (let length = 0; length < file.length; length++) {
      expect(() => decodeSafetensors(file.subarray(0, length), 'm.safetensors')).toThrow(refusal(''));
    }
  });

  it('is rejected with the number of missing bytes', () => {
    const file = fileOf(arrays.slice(0, 1));
    expect(() => decodeSafetensors(file.subarray(0, 5), 'm.safetensors')).toThrow(refusal('it has 5 bytes'));
    expect(() => decodeSafetensors(file.subarray(0, -1), 'm.safetensors')).toThrow(
      refusal('a/kernel of shape [2, 1] is at bytes 0 to 8 of 7'),
    );
  });
});

describe('a file with an invalid header', () => {
  it('is rejected if the header claims more bytes than there are', () => {
    const file = fileOf(arrays);
    file[7] = 0x80;
    expect(() => decodeSafetensors(file, 'm.safetensors')).toThrow(refusal(`it has ${file.length} bytes, but claims`));
  });

  it.each([
    ['invalid JSON', '{'],
    ['a list', '[]'],
    ['an entry that is not an object', '{"a":1}'],
    ['an entry without offsets', '{"a":{"dtype":"F32","shape":[1]}}'],
    ['a negative extent', '{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}'],
    ['a negative offset', '{"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}'],
    ['offsets that do not fit the shape', '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}'],
    ['offsets beyond the end', '{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}'],
    ['offsets in reverse', '{"a":{"dtype":"F32","shape":[0],"data_offsets":[4,0]}}'],
  ])('is rejected for %s', (_, header) => {
    expect(() => decodeSafetensors(fileWith(header, new Uint8Array(4)), 'm.safetensors')).toThrow(refusal(''));
  });

  it('is rejected for a type other than float32, with the name of the type', () => {
    const header = '{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}';
    expect(() => decodeSafetensors(fileWith(header, new Uint8Array(4)), 'm.safetensors')).toThrow(
      refusal('a is F16; only F32 is supported'),
    );
  });

  it('is either rejected or decoded if any single bit is flipped', () => {
    const file = fileOf(arrays);
    const headerBytes = Number(file.readBigUInt64LE(0));
    let refused = 0;
    for (let bit = 0; bit < 8 * (8 + headerBytes); bit++) {
      const flipped = Buffer.from(file);
      flipped[bit >> 3] ^= 1 << (bit & 7);
      try {
        decodeSafetensors(flipped, 'm.safetensors');
      } catch (error) {
        if (!(error instanceof LockstepError) || error.code !== 'bad-checkpoint') throw error;
        refused++;
      }
    }
    // The other flips are valid: they only change letters in names and metadata, or spaces.
    expect(refused).toBeGreaterThan(4 * (8 + headerBytes));
  });
});

describe('namedArraysOf', () => {
  it('returns the named arrays of a vector without copying them', () => {
    const vector = Float32Array.of(1, 2, 3);
    const named = namedArraysOf(vector, [
      { name: 'a', shape: [2], offset: 0, size: 2 },
      { name: 'b', shape: [1], offset: 2, size: 1 },
    ]);
    vector[2] = 7;
    expect(named).toEqual([
      { name: 'a', shape: [2], values: Float32Array.of(1, 2) },
      { name: 'b', shape: [1], values: Float32Array.of(7) },
    ]);
  });
});

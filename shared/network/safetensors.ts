// The safetensors format for float32 arrays: an 8-byte little-endian header length, a JSON header, and the raw values.
// Specification: github.com/huggingface/safetensors, "Format".
import { LockstepError, messageOf } from '../errors.js';
import type { ArrayLayout } from './layout.js';
import type { NamedArray } from './named-array.js';
import { littleEndianBytes } from './layout-hash.js';
import * as z from 'zod';

const metadataKey = '__metadata__';
const entry = z.object({
  dtype: z.string(),
  shape: z.array(z.int().nonnegative()),
  data_offsets: z.tuple([z.int().nonnegative(), z.int().nonnegative()]),
});

/** Returns views of the arrays in a flat vector, with their names and shapes. */
export function namedArraysOf(vector: Float32Array, arrays: readonly ArrayLayout[]): NamedArray[] {
  return arrays.map(({ name, shape, offset, size }) => ({
    name,
    shape,
    values: vector.subarray(offset, offset + size),
  }));
}

/** Returns the contents of a file as consecutive buffers. */
export function encodeSafetensors(arrays: readonly NamedArray[], metadata: Record<string, string> = {}): Uint8Array[] {
  const header: Record<string, unknown> = { [metadataKey]: metadata };
  let offset = 0;
  for (const { name, shape, values } of arrays) {
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset + values.byteLength] };
    offset += values.byteLength;
  }
  const json = Buffer.from(JSON.stringify(header));
  // Padding with spaces aligns the values to 8 bytes, as the reference implementation does.
  const padded = Buffer.concat([json, Buffer.alloc((8 - (json.length % 8)) % 8, ' ')]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  return [length, padded, ...arrays.map(({ values }) => littleEndianBytes(values))];
}

/**
 * Returns a file's arrays by name.
 * @param source name of the file, for error messages
 * Throws `bad-checkpoint` for a file that is truncated, has types other than float32, or is not a safetensors file.
 */
export function decodeSafetensors(file: Uint8Array, source: string): Map<string, NamedArray> {
  const bad = (why: string, cause?: unknown) =>
    new LockstepError('bad-checkpoint', `${source} is not a readable safetensors file: ${why}`, { cause });
  if (file.byteLength < 8) throw bad(`it has ${file.byteLength} bytes`);
  const headerBytes = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  if (headerBytes > file.byteLength - 8) {
    throw bad(`it has ${file.byteLength} bytes, but claims a header of ${headerBytes}`);
  }
  let header: Record<string, unknown>;
  try {
    header = z
      .record(z.string(), z.unknown())
      .parse(JSON.parse(Buffer.from(file.subarray(8, 8 + headerBytes)).toString()));
  } catch (cause) {
    throw bad(messageOf(cause), cause);
  }
  const data = file.subarray(8 + headerBytes);
  const arrays = new Map<string, NamedArray>();
  for (const [name, value] of Object.entries(header)) {
    if (name === metadataKey) continue;
    const parsed = entry.safeParse(value);
    if (!parsed.success) throw bad(`the header entry for ${name} is malformed`);
    const { dtype, shape } = parsed.data;
    const [first, end] = parsed.data.data_offsets;
    const size = shape.reduce((product, extent) => product * extent, 1);
    if (dtype !== 'F32') throw bad(`${name} is ${dtype}; only F32 is supported`);
    if (end - first !== size * 4 || end > data.byteLength) {
      throw bad(`${name} of shape [${shape.join(', ')}] is at bytes ${first} to ${end} of ${data.byteLength}`);
    }
    // Copy the values, because they may be unaligned. slice() would not copy if the file is a Buffer.
    const values = new Float32Array(new Uint8Array(data.subarray(first, end)).buffer);
    arrays.set(name, { name, shape, values });
  }
  return arrays;
}

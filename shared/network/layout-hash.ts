// Hashes that identify a model's layout and its weights.
import { createHash } from 'node:crypto';
import type { ModelLayout } from './layout.js';

/** SHA-256, in hex, of the name, shape and offset of every array. */
export function layoutHash(layout: ModelLayout): string {
  const lines = [...layout.trainable, ...layout.statistics].map(
    (array) => `${array.name} ${array.shape.join('x')} ${array.offset}\n`,
  );
  return createHash('sha256').update(lines.join('')).digest('hex');
}

/**
 * A run's result as a hash: SHA-256, in hex, of the little-endian float32 trainable weights in layout order, then the
 * moving statistics.
 */
export function weightsSha256(weights: Float32Array, movingStatistics: Float32Array): string {
  return createHash('sha256')
    .update(littleEndianBytes(weights))
    .update(littleEndianBytes(movingStatistics))
    .digest('hex');
}

/**
 * The bytes of an array, without a copy. Assumes a little-endian platform: all that Node supports are, except s390x.
 */
export function littleEndianBytes(values: Float32Array | Int32Array | BigInt64Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

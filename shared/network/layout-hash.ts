// A layout's name: two sides that agree on it agree on every array of the model.
import { createHash } from 'node:crypto';
import type { ModelLayout } from './layout.js';

/** The SHA-256, in hex, of every array's name, shape and place. */
export function layoutHash(layout: ModelLayout): string {
  const lines = [...layout.trainable, ...layout.statistics].map(
    (array) => `${array.name} ${array.shape.join('x')} ${array.offset}\n`,
  );
  return createHash('sha256').update(lines.join('')).digest('hex');
}

/**
 * The run's result as a hash: the SHA-256, in hex, of the little-endian float32 trainable weights in layout order,
 * then of the moving statistics.
 */
export function weightsSha256(weights: Float32Array, movingStatistics: Float32Array): string {
  return createHash('sha256')
    .update(littleEndianBytes(weights))
    .update(littleEndianBytes(movingStatistics))
    .digest('hex');
}

/** The bytes of numbers, without a copy. Every platform Node runs on is little-endian but s390x, where wasm would not help either. */
export function littleEndianBytes(values: Float32Array | Int32Array | BigInt64Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

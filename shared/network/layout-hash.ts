// Hashes that identify a model's layout and its weights.
import { host } from '../platform/host.js';
import { sha256Of } from '../sha256.js';
import type { ArrayLayout } from './layout.js';

/** Returns the SHA-256, in hex, of the name, shape and offset of every array. */
export function layoutHash(layout: { weights: readonly ArrayLayout[]; statistics: readonly ArrayLayout[] }): string {
  const lines = [...layout.weights, ...layout.statistics].map(
    (array) => `${array.name} ${array.shape.join('x')} ${array.offset}\n`,
  );
  return sha256Of(new TextEncoder().encode(lines.join('')));
}

/**
 * Returns the hash that identifies a run's result: the SHA-256, in hex, of the trainable weights in layout order,
 * followed by the moving statistics, all as little-endian float32.
 */
export function weightsSha256(weights: Float32Array, movingStatistics: Float32Array): string {
  return host.createSha256().update(littleEndianBytes(weights)).update(littleEndianBytes(movingStatistics)).digest();
}

/**
 * Returns a view of an array's bytes. The bytes are little-endian only on a little-endian platform; Lockstep does not
 * support the big-endian platforms on which Node.js runs (s390x and AIX).
 */
export function littleEndianBytes(values: Float32Array | Int32Array | BigInt64Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

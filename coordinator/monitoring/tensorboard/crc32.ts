// CRC-32C for event files and CRC-32 for PNG. Node.js has no CRC-32C, and provides zlib.crc32 only since version 20.15.

// Tables of the polynomials, with their bits reversed for the reflected algorithm.
const castagnoli = tableOf(0x82f63b78);
const ieee = tableOf(0xedb88320);

/** Returns the CRC-32C of bytes, which uses the Castagnoli polynomial (RFC 3720). */
export function crc32c(bytes: Uint8Array): number {
  return remainderOf(castagnoli, bytes);
}

/** Returns the CRC-32 of bytes, as used in PNG and gzip (RFC 1952). */
export function crc32(bytes: Uint8Array): number {
  return remainderOf(ieee, bytes);
}

function tableOf(polynomial: number): Uint32Array {
  return Uint32Array.from({ length: 256 }, (_, byte) => {
    let remainder = byte;
    for (let bit = 0; bit < 8; bit++) remainder = (remainder >>> 1) ^ (remainder & 1 ? polynomial : 0);
    return remainder;
  });
}

function remainderOf(table: Uint32Array, bytes: Uint8Array): number {
  let remainder = 0xffffffff;
  for (const byte of bytes) remainder = (remainder >>> 8) ^ table[(remainder ^ byte) & 0xff];
  return (remainder ^ 0xffffffff) >>> 0;
}

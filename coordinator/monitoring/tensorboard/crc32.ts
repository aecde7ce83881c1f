// Cyclic redundancy checks of 32 bits: CRC-32C for event files, CRC-32 for PNG. zlib.crc32 is not in every Node 20, and
// there is no CRC-32C in Node at all.

/** Both polynomials with their bits reversed, as the reflected algorithm takes them. */
const castagnoli = tableOf(0x82f63b78);
const ieee = tableOf(0xedb88320);

/** The Castagnoli polynomial's (RFC 3720). */
export function crc32c(bytes: Uint8Array): number {
  return checkWith(castagnoli, bytes);
}

/** PNG's and gzip's (RFC 1952). */
export function crc32(bytes: Uint8Array): number {
  return checkWith(ieee, bytes);
}

function tableOf(polynomial: number): Uint32Array {
  return Uint32Array.from({ length: 256 }, (_, byte) => {
    let remainder = byte;
    for (let bit = 0; bit < 8; bit++) remainder = (remainder >>> 1) ^ (remainder & 1 ? polynomial : 0);
    return remainder;
  });
}

function checkWith(table: Uint32Array, bytes: Uint8Array): number {
  let remainder = 0xffffffff;
  for (const byte of bytes) remainder = (remainder >>> 8) ^ table[(remainder ^ byte) & 0xff];
  return (remainder ^ 0xffffffff) >>> 0;
}

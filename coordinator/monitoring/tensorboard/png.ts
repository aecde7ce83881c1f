// Encodes an image as PNG (RFC 2083): RGB with 8 bits per channel, in one IDAT chunk.
import { deflateSync } from 'node:zlib';
import { crc32 } from './crc32.js';
import type { RgbImage } from './kernel-image.js';

const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

export function encodePng({ width, height, rgb }: RgbImage): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width);
  header.writeUInt32BE(height, 4);
  // Bit depth 8, color type RGB, deflate compression, standard filters, no interlacing.
  header.set([8, 2, 0, 0, 0], 8);
  const stride = 3 * width;
  // Each row starts with its filter type: 0 for none.
  const rows = Buffer.alloc(height * (stride + 1));
  for (let row = 0; row < height; row++) {
    rows.set(rgb.subarray(row * stride, (row + 1) * stride), row * (stride + 1) + 1);
  }
  return Buffer.concat([
    signature,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

function chunk(type: string, data: Uint8Array): Buffer {
  const bytes = Buffer.alloc(4 + 4 + data.length + 4);
  bytes.writeUInt32BE(data.length);
  bytes.write(type, 4, 'latin1');
  bytes.set(data, 8);
  bytes.writeUInt32BE(crc32(bytes.subarray(4, 8 + data.length)), 8 + data.length);
  return bytes;
}

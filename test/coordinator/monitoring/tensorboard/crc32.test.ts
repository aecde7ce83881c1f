import { expect, it } from 'vitest';
import { crc32, crc32c } from '../../../../coordinator/monitoring/tensorboard/crc32.js';

it.each([
  // From RFC 3720, appendix B.4.
  ['32 zeros', new Uint8Array(32), 0x8a9136aa],
  ['32 ones', new Uint8Array(32).fill(255), 0x62a8ab43],
  ['0 to 31', Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
  ['31 to 0', Uint8Array.from({ length: 32 }, (_, i) => 31 - i), 0x113fdb5c],
  // The standard check value in CRC catalogs.
  ['"123456789"', Buffer.from('123456789'), 0xe3069283],
  ['nothing', new Uint8Array(), 0],
])('the CRC-32C of %s is the published one', (_what, bytes, check) => {
  expect(crc32c(bytes)).toBe(check);
});

it('the CRC-32 of "123456789" is the published one, and that of IEND is the one in every PNG file', () => {
  expect(crc32(Buffer.from('123456789'))).toBe(0xcbf43926);
  expect(crc32(Buffer.from('IEND'))).toBe(0xae426082);
});

import { createHash } from 'node:crypto';

/** Maximum number of bytes per update. Node.js cannot hash 2 GiB or more at once. */
const maxUpdateBytes = 2 ** 30;

/** Returns the SHA-256 of the bytes in hex. */
export function sha256Of(bytes: Uint8Array): string {
  const hash = createHash('sha256');
  for (let offset = 0; offset < bytes.length; offset += maxUpdateBytes) {
    hash.update(bytes.subarray(offset, offset + maxUpdateBytes));
  }
  return hash.digest('hex');
}

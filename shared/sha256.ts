import { host } from './platform/host.js';

/** Returns the SHA-256 of the bytes in hex. */
export function sha256Of(bytes: Uint8Array): string {
  return host.createSha256().update(bytes).digest();
}

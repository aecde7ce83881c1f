/** Memory of large messages comes in multiples of this, because their headers vary in length. */
export const granularityBytes = 64 * 1024;

/** Returns the memory of a message or payload; undefined if it may share the memory with other messages. */
export function ownMemoryOf({ buffer, byteLength }: Uint8Array): ArrayBuffer | undefined {
  if (!(buffer instanceof ArrayBuffer)) return undefined;
  // ws cuts small messages from chunks of the socket. A chunk has at most 64 KiB, so a message of that size has its own.
  return byteLength === buffer.byteLength || byteLength >= granularityBytes ? buffer : undefined;
}

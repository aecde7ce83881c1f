// Memory for large messages, used again for later ones: new memory of this size comes from the kernel, which clears each
// page when it is first touched.

import { granularityBytes } from './own-memory.js';

export class MessageMemory {
  readonly #maxFree: number;
  #free: ArrayBuffer[] = [];

  /** @param maxFree number of free buffers to keep; by default, as many as were ever in use at the same time */
  constructor(maxFree = Infinity) {
    this.#maxFree = maxFree;
  }

  /** Returns memory for a message, at the start of a buffer of its own. Its contents are arbitrary. */
  take(bytes: number): Buffer {
    const index = this.#free.findIndex(({ byteLength }) => byteLength >= bytes && byteLength <= 2 * bytes);
    const [memory] =
      index === -1
        ? [new ArrayBuffer(Math.ceil(bytes / granularityBytes) * granularityBytes)]
        : this.#free.splice(index, 1);
    return Buffer.from(memory, 0, bytes);
  }

  /** Allows using memory again, which the caller must not touch anymore. Keeps the most recent buffers. */
  giveBack(...memory: readonly ArrayBuffer[]): void {
    this.#free = [...memory, ...this.#free].slice(0, this.#maxFree);
  }
}

// A shard that is being downloaded, to memory or to a file. It outlives the connection, so that an interrupted download
// resumes where it stopped.
import type { NewShardFile } from './shard-cache.js';

const initialCapacityBytes = 1 << 20;

/**
 * A download to memory. Its buffer grows as bytes arrive, so a coordinator that announces a huge shard cannot exhaust
 * the memory.
 */
export class DownloadToMemory {
  readonly kind = 'memory';
  /** Size of the complete shard in bytes. */
  readonly bytes: number;
  #received = 0;
  #memory = new Uint8Array(0);

  constructor(bytes: number) {
    this.bytes = bytes;
  }

  /** Number of bytes received so far. */
  get received(): number {
    return this.#received;
  }

  /** The bytes received so far. */
  get records(): Uint8Array<ArrayBuffer> {
    return this.#memory.length === this.#received ? this.#memory : this.#memory.subarray(0, this.#received);
  }

  /**
   * Appends the next bytes.
   * @param chunk at most the bytes that are still missing
   */
  append(chunk: Uint8Array): void {
    const needed = this.#received + chunk.length;
    if (needed > this.#memory.length) {
      const capacity = Math.max(needed, 2 * this.#memory.length, initialCapacityBytes);
      const memory = new Uint8Array(Math.min(this.bytes, capacity));
      memory.set(this.records);
      this.#memory = memory;
    }
    this.#memory.set(chunk, this.#received);
    this.#received = needed;
  }

  discard(): void {
    this.#memory = new Uint8Array(0);
  }
}

export class DownloadToFile {
  readonly kind = 'file';
  readonly bytes: number;
  readonly file: NewShardFile;
  #received = 0;

  constructor(bytes: number, file: NewShardFile) {
    this.bytes = bytes;
    this.file = file;
  }

  get received(): number {
    return this.#received;
  }

  /** Writes the next bytes. Throws `save-failed` if this is not possible. */
  append(chunk: Uint8Array): void {
    this.file.write(chunk, this.#received);
    this.#received += chunk.length;
  }

  discard(): void {
    this.file.discard();
  }
}

export type ShardDownload = DownloadToMemory | DownloadToFile;

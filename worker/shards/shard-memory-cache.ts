// Keeps complete and partial shards in a worker's memory. They outlive the connection: an interrupted download resumes
// where it stopped, and a worker that rejoins still has its shards.

const initialCapacityBytes = 1 << 20;

/**
 * A shard that is being downloaded. Its buffer grows as bytes arrive, so a coordinator that announces a huge shard
 * cannot exhaust the memory.
 */
export class PartialDownload {
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
  get records(): Uint8Array {
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
}

export class ShardMemoryCache {
  readonly #complete = new Map<string, Uint8Array>();
  readonly #downloads = new Map<string, PartialDownload>();

  /** Hashes of the complete shards. */
  get hashes(): string[] {
    return [...this.#complete.keys()];
  }

  get(sha256: string): Uint8Array | undefined {
    return this.#complete.get(sha256);
  }

  put(sha256: string, records: Uint8Array): void {
    this.#downloads.delete(sha256);
    this.#complete.set(sha256, records);
  }

  /** Returns the partial download of a shard, or a new one if there is none or if its total size differs. */
  downloadOf(sha256: string, bytes: number): PartialDownload {
    let download = this.#downloads.get(sha256);
    if (download?.bytes !== bytes) {
      download = new PartialDownload(bytes);
      this.#downloads.set(sha256, download);
    }
    return download;
  }

  dropDownload(sha256: string): void {
    this.#downloads.delete(sha256);
  }

  /** Drops all shards except those with these hashes, to free the memory that the shards of an earlier run take. */
  keepOnly(hashes: ReadonlySet<string>): void {
    for (const shards of [this.#complete, this.#downloads]) {
      for (const sha256 of shards.keys()) if (!hashes.has(sha256)) shards.delete(sha256);
    }
  }
}

// Shards in a worker's memory, complete or partial. They outlive connections: an interrupted download resumes where it
// stopped, and a worker that rejoins still has its shards.

const initialCapacityBytes = 1 << 20;

/** A shard that is being downloaded. Its memory grows as bytes arrive, whatever size was announced. */
export class PartialDownload {
  /** Size of the complete shard. */
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

  /** @param chunk the next bytes, no more than are missing */
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

  /** Returns the download of a shard, to be continued. A download of another size starts again. */
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

  /** Drops all other shards: another run has other ones. */
  keepOnly(hashes: ReadonlySet<string>): void {
    for (const shards of [this.#complete, this.#downloads]) {
      for (const sha256 of shards.keys()) if (!hashes.has(sha256)) shards.delete(sha256);
    }
  }
}

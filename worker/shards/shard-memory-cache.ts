// Shards of the data set in a worker's memory, whole or in part. They outlive a connection: a transfer that was cut goes
// on where it stopped, and a worker that joins again has what it had.

const firstRoomBytes = 1 << 20;

/** A shard on its way. Its memory grows with what came: what was only announced has none. */
export class PartialDownload {
  /** Of the whole shard. */
  readonly bytes: number;
  #received = 0;
  #room = new Uint8Array(0);

  constructor(bytes: number) {
    this.bytes = bytes;
  }

  /** Bytes that are there, from the first on. */
  get received(): number {
    return this.#received;
  }

  /** What is there; of a whole shard without a spare byte behind it. */
  get records(): Uint8Array {
    return this.#room.length === this.#received ? this.#room : this.#room.subarray(0, this.#received);
  }

  /** Adds what comes next. @param chunk no more than is missing */
  append(chunk: Uint8Array): void {
    const needed = this.#received + chunk.length;
    if (needed > this.#room.length) {
      const room = new Uint8Array(Math.min(this.bytes, Math.max(needed, 2 * this.#room.length, firstRoomBytes)));
      room.set(this.records);
      this.#room = room;
    }
    this.#room.set(chunk, this.#received);
    this.#received = needed;
  }
}

export class ShardMemoryCache {
  readonly #whole = new Map<string, Uint8Array>();
  readonly #parts = new Map<string, PartialDownload>();

  /** The hashes of the shards that are whole. */
  get hashes(): string[] {
    return [...this.#whole.keys()];
  }

  get(sha256: string): Uint8Array | undefined {
    return this.#whole.get(sha256);
  }

  put(sha256: string, records: Uint8Array): void {
    this.#parts.delete(sha256);
    this.#whole.set(sha256, records);
  }

  /** What there is of a shard, to be added to; nothing where what there is was announced with another length. */
  partOf(sha256: string, bytes: number): PartialDownload {
    let part = this.#parts.get(sha256);
    if (part?.bytes !== bytes) {
      part = new PartialDownload(bytes);
      this.#parts.set(sha256, part);
    }
    return part;
  }

  dropPart(sha256: string): void {
    this.#parts.delete(sha256);
  }

  /** Another run has other shards: the rest is given up. */
  keepOnly(hashes: ReadonlySet<string>): void {
    for (const shards of [this.#whole, this.#parts]) {
      for (const sha256 of shards.keys()) if (!hashes.has(sha256)) shards.delete(sha256);
    }
  }
}

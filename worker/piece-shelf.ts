// Pieces of the data set in a worker's memory, whole or in part. They outlive a connection: a transfer that was cut goes
// on where it stopped, and a worker that joins again has what it had.

/** A piece on its way. */
export interface PartialPiece {
  records: Uint8Array;
  /** Bytes that are there, from the first on. */
  received: number;
}

export class PieceShelf {
  readonly #whole = new Map<string, Uint8Array>();
  readonly #parts = new Map<string, PartialPiece>();

  /** The hashes of the pieces that are whole. */
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

  /** What there is of a piece, to be added to. */
  partOf(sha256: string, bytes: number): PartialPiece {
    let part = this.#parts.get(sha256);
    if (part === undefined) {
      part = { records: new Uint8Array(bytes), received: 0 };
      this.#parts.set(sha256, part);
    }
    return part;
  }

  dropPart(sha256: string): void {
    this.#parts.delete(sha256);
  }

  /** Another run has other pieces: the rest is given up. */
  keepOnly(hashes: ReadonlySet<string>): void {
    for (const pieces of [this.#whole, this.#parts]) {
      for (const sha256 of pieces.keys()) if (!hashes.has(sha256)) pieces.delete(sha256);
    }
  }
}

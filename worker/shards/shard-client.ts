// The pieces of the data set that a worker works on: from memory, else from its cache, else from the coordinator.
import { ProtocolError } from '../../shared/errors.js';
import { prefetchChunkBytes, type Piece, type Split } from '../../shared/protocol/messages.js';
import type { PartialPiece, PieceShelf } from './shard-memory-cache.js';
import { sha256Of, type ShardCache } from './shard-cache.js';

/** What is said to the coordinator. */
export interface PieceSource {
  /** Asks for so many bytes of a piece from an offset on. */
  request: (sha256: string, offset: number, bytes: number) => void;
  /** Tells that a piece is here now. */
  held: (sha256: string) => void;
}

interface Transfer {
  piece: Piece;
  part: PartialPiece;
  /** Bytes before this have been asked for. */
  requestedEnd: number;
  resolve: (records: Uint8Array) => void;
  reject: (error: Error) => void;
}

export class WorkerPieces {
  readonly #pieces = new Map<string, Piece>();
  readonly #shelf: PieceShelf;
  readonly #cache: ShardCache;
  readonly #source: PieceSource;
  /** On the way, by hash. */
  readonly #fetches = new Map<string, Promise<Uint8Array>>();
  readonly #transfers = new Map<string, Transfer>();
  /** Pieces that are waited for: others are fetched a chunk at a time. */
  readonly #urgent = new Set<string>();
  /** Pieces that the coordinator was told of. */
  readonly #told = new Set<string>();
  #isAbandoned = false;

  constructor(pieces: readonly Piece[], shelf: PieceShelf, cache: ShardCache, source: PieceSource) {
    for (const piece of pieces) this.#pieces.set(`${piece.split} ${piece.index}`, piece);
    this.#shelf = shelf;
    this.#cache = cache;
    this.#source = source;
    shelf.keepOnly(new Set(pieces.map(({ sha256 }) => sha256)));
  }

  /** A piece's records. Rejects with ProtocolError for a piece the welcome did not list, or one with another hash. */
  async recordsOf(split: Split, index: number): Promise<Uint8Array> {
    const piece = this.#pieces.get(`${split} ${index}`);
    if (piece === undefined) throw new ProtocolError(`asked about ${split} piece ${index}, which was not announced`);
    const { sha256 } = piece;
    const records = this.#shelf.get(sha256);
    if (records !== undefined) return records;
    this.#urgent.add(sha256);
    const transfer = this.#transfers.get(sha256);
    if (transfer !== undefined) this.#requestMore(transfer);
    return this.#fetch(piece);
  }

  /** Fetches a piece before it is needed, letting everything else go first. Rejects as recordsOf does. */
  async prefetch(sha256: string): Promise<void> {
    const piece = [...this.#pieces.values()].find((known) => known.sha256 === sha256);
    if (piece === undefined) throw new ProtocolError(`asked to fetch piece ${sha256}, which was not announced`);
    // Asked once more while it is on its way, there is nothing to add.
    if (this.#fetches.has(sha256)) return;
    if (this.#shelf.get(sha256) === undefined) await this.#fetch(piece);
    else this.#tellHeld(sha256);
  }

  /** Takes the next bytes of a piece that was asked for. Throws ProtocolError for any others. */
  receive(sha256: string, offset: number, chunk: Uint8Array): void {
    const transfer = this.#transfers.get(sha256);
    const end = offset + chunk.length;
    if (transfer?.part.received !== offset || end > transfer.requestedEnd || chunk.length === 0) {
      throw new ProtocolError(`bytes ${offset} to ${end} of piece ${sha256} were not asked for`);
    }
    const { piece, part } = transfer;
    part.append(chunk);
    if (part.received < piece.bytes) {
      if (part.received === transfer.requestedEnd) this.#requestMore(transfer);
      return;
    }
    this.#transfers.delete(sha256);
    if (sha256Of(part.records) === sha256) {
      transfer.resolve(part.records);
    } else {
      this.#shelf.dropPart(sha256);
      transfer.reject(new ProtocolError(`piece ${sha256} came with other bytes than its hash says`));
    }
  }

  /** The connection is gone: what was on the way will not come. */
  abandon(): void {
    this.#isAbandoned = true;
    for (const transfer of this.#transfers.values()) transfer.reject(closedTooEarly());
    this.#transfers.clear();
  }

  /** Resolves when nothing is being fetched or written any more. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#fetches.values());
  }

  async #fetch(piece: Piece): Promise<Uint8Array> {
    const { sha256 } = piece;
    let fetch = this.#fetches.get(sha256);
    if (fetch === undefined) {
      fetch = this.#fetchAndKeep(piece);
      this.#fetches.set(sha256, fetch);
    }
    return fetch;
  }

  async #fetchAndKeep(piece: Piece): Promise<Uint8Array> {
    const { sha256 } = piece;
    const cached = await this.#cache.read(sha256);
    if (this.#isAbandoned) throw closedTooEarly();
    const records = cached?.length === piece.bytes ? cached : await this.#transfer(piece);
    this.#shelf.put(sha256, records);
    this.#tellHeld(sha256);
    if (records !== cached) await this.#cache.write(sha256, records);
    this.#fetches.delete(sha256);
    return records;
  }

  /** Once: one that asks without end and does not read is not to fill the memory with answers. */
  #tellHeld(sha256: string): void {
    if (this.#told.has(sha256)) return;
    this.#told.add(sha256);
    this.#source.held(sha256);
  }

  async #transfer(piece: Piece): Promise<Uint8Array> {
    return new Promise<Uint8Array>((resolve, reject) => {
      const part = this.#shelf.partOf(piece.sha256, piece.bytes);
      const transfer: Transfer = { piece, part, requestedEnd: part.received, resolve, reject };
      this.#transfers.set(piece.sha256, transfer);
      this.#requestMore(transfer);
    });
  }

  /** All that is missing of a piece that is waited for; of another, one chunk. */
  #requestMore(transfer: Transfer): void {
    const { piece, requestedEnd: offset } = transfer;
    const missing = piece.bytes - offset;
    if (missing === 0) return;
    const bytes = this.#urgent.has(piece.sha256) ? missing : Math.min(missing, prefetchChunkBytes);
    transfer.requestedEnd = offset + bytes;
    this.#source.request(piece.sha256, offset, bytes);
  }
}

function closedTooEarly(): ProtocolError {
  return new ProtocolError('the connection closed before the piece was here');
}

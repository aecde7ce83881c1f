// The pieces of the data set that a worker works on: from memory, else from its cache, else from the coordinator.
import { ProtocolError } from '../shared/errors.js';
import type { Piece, Split } from '../shared/protocol/messages.js';
import { sha256Of, type ShardCache } from './shard-cache.js';

interface Transfer {
  piece: Piece;
  records: Uint8Array;
  received: number;
  resolve: (records: Uint8Array) => void;
  reject: (error: Error) => void;
}

export class WorkerPieces {
  readonly #pieces = new Map<string, Piece>();
  readonly #cache: ShardCache;
  readonly #request: (sha256: string, offset: number) => void;
  /** In memory or on the way, by hash. */
  readonly #records = new Map<string, Promise<Uint8Array>>();
  readonly #transfers = new Map<string, Transfer>();
  #isAbandoned = false;

  /** @param request asks the coordinator for a piece's bytes from an offset on */
  constructor(pieces: readonly Piece[], cache: ShardCache, request: (sha256: string, offset: number) => void) {
    for (const piece of pieces) this.#pieces.set(`${piece.split} ${piece.index}`, piece);
    this.#cache = cache;
    this.#request = request;
  }

  /** A piece's records. Rejects with ProtocolError for a piece the welcome did not list, or one with another hash. */
  async recordsOf(split: Split, index: number): Promise<Uint8Array> {
    const piece = this.#pieces.get(`${split} ${index}`);
    if (piece === undefined) throw new ProtocolError(`asked about ${split} piece ${index}, which was not announced`);
    let records = this.#records.get(piece.sha256);
    if (records === undefined) {
      records = this.#fetch(piece);
      this.#records.set(piece.sha256, records);
    }
    return records;
  }

  /** Takes the next bytes of a piece that was asked for. Throws ProtocolError for any others. */
  receive(sha256: string, offset: number, chunk: Uint8Array): void {
    const transfer = this.#transfers.get(sha256);
    if (transfer === undefined || offset !== transfer.received || offset + chunk.length > transfer.piece.bytes) {
      throw new ProtocolError(`bytes ${offset} to ${offset + chunk.length} of piece ${sha256} were not asked for`);
    }
    transfer.records.set(chunk, offset);
    transfer.received += chunk.length;
    if (transfer.received < transfer.piece.bytes) return;
    this.#transfers.delete(sha256);
    if (sha256Of(transfer.records) === sha256) transfer.resolve(transfer.records);
    else transfer.reject(new ProtocolError(`piece ${sha256} came with other bytes than its hash says`));
  }

  /** The connection is gone: what was on the way will not come. */
  abandon(): void {
    this.#isAbandoned = true;
    for (const transfer of this.#transfers.values()) transfer.reject(closedTooEarly());
    this.#transfers.clear();
  }

  async #fetch(piece: Piece): Promise<Uint8Array> {
    const cached = await this.#cache.read(piece.sha256);
    if (cached?.length === piece.bytes) return cached;
    if (this.#isAbandoned) throw closedTooEarly();
    const records = await new Promise<Uint8Array>((resolve, reject) => {
      this.#transfers.set(piece.sha256, {
        piece,
        records: new Uint8Array(piece.bytes),
        received: 0,
        resolve,
        reject,
      });
      this.#request(piece.sha256, 0);
    });
    await this.#cache.write(piece.sha256, records);
    return records;
  }
}

function closedTooEarly(): ProtocolError {
  return new ProtocolError('the connection closed before the piece was here');
}

// Sends shards to one worker, and knows which ones it holds.
import { ProtocolError } from '../../shared/errors.js';
import { encodeFrame } from '../../shared/protocol/frame.js';
import { chunkBytes, type CoordinatorMessage } from '../../shared/protocol/messages.js';

/** A request that is being answered: bytes `next` to `end` are still to be sent. */
interface Request {
  sha256: string;
  records: Uint8Array;
  next: number;
  end: number;
}

export class ShardSender {
  readonly #records: ReadonlyMap<string, Uint8Array>;
  readonly #send: (frame: Buffer, onSent: (error?: Error) => void) => void;
  readonly #held: Set<string>;
  /** Requests in turn; a chunk of the first one is on its way. */
  readonly #requests: Request[] = [];

  /**
   * @param records each shard's records by its hash
   * @param cached hashes of shards in the worker's cache; those of other runs are ignored
   */
  constructor(
    records: ReadonlyMap<string, Uint8Array>,
    cached: readonly string[],
    send: (frame: Buffer, onSent: (error?: Error) => void) => void,
  ) {
    this.#records = records;
    this.#held = new Set(cached.filter((sha256) => records.has(sha256)));
    this.#send = send;
  }

  holds(sha256: string): boolean {
    return this.#held.has(sha256);
  }

  /** The worker holds a shard, or will request it. Throws ProtocolError for one that is not part of the run. */
  markHeld(sha256: string): void {
    if (!this.#records.has(sha256)) {
      throw new ProtocolError(`a worker holds shard ${sha256.slice(0, 12)}, which is not part of the run`);
    }
    this.#held.add(sha256);
  }

  /**
   * Sends part of a shard chunk by chunk, each after the one before has left, so that a slow worker fills no memory here.
   * Requests take turns. Throws ProtocolError for bytes that do not exist, or too many requests.
   */
  request(sha256: string, offset: number, bytes: number): void {
    const records = this.#records.get(sha256);
    const end = offset + bytes;
    if (records === undefined || end > records.length) {
      throw new ProtocolError(`a worker requested byte ${end} of shard ${sha256.slice(0, 12)}, which does not exist`);
    }
    // A prefetched chunk of each shard may be on its way when the rest is requested.
    if (this.#requests.length > 2 * this.#records.size) {
      throw new ProtocolError(`a worker requested another shard while ${this.#requests.length} requests are waiting`);
    }
    this.#requests.push({ sha256, records, next: offset, end });
    if (this.#requests.length === 1) this.#sendChunk();
  }

  #sendChunk(): void {
    const [request] = this.#requests;
    if (request === undefined) return;
    const { sha256, records, next, end } = request;
    const chunk = records.subarray(next, Math.min(end, next + chunkBytes));
    const header: CoordinatorMessage = { type: 'shard-chunk', sha256, offset: next };
    this.#send(encodeFrame(header, chunk), (error) => {
      // A failed connection is closed elsewhere.
      if (error) return;
      this.#requests.shift();
      request.next += chunk.length;
      if (request.next < end) this.#requests.push(request);
      this.#sendChunk();
    });
  }
}

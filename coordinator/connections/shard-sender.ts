// Sends shards to one worker, and keeps track of the shards that the worker holds.
import { bytesOf, type Records } from '../../shared/dataset/records.js';
import { messageOf, ProtocolError } from '../../shared/errors.js';
import { encodeFrame } from '../../shared/protocol/frame.js';
import { chunkBytes, type CoordinatorMessage } from '../../shared/protocol/messages.js';

/** A request in progress: bytes from `next` up to `end` (exclusive) are still to be sent. */
interface Request {
  sha256: string;
  records: Records;
  next: number;
  end: number;
}

export interface ShardSenderHandlers {
  send: (frame: Uint8Array, onSent: (error?: Error) => void) => void;
  /** Called if the records cannot be read. */
  failed: (message: string) => void;
}

export class ShardSender {
  readonly #records: ReadonlyMap<string, Records>;
  readonly #handlers: ShardSenderHandlers;
  readonly #held: Set<string>;
  /** Requests in the order in which they take turns. A chunk for the first request is being sent. */
  readonly #requests: Request[] = [];

  /**
   * @param records records of each shard, by the shard's hash
   * @param cached hashes of the shards in the worker's cache; shards of other runs are ignored
   */
  constructor(records: ReadonlyMap<string, Records>, cached: readonly string[], handlers: ShardSenderHandlers) {
    this.#records = records;
    this.#held = new Set(cached.filter((sha256) => records.has(sha256)));
    this.#handlers = handlers;
  }

  /** Hashes of the shards that the worker holds, or will request. */
  get held(): ReadonlySet<string> {
    return this.#held;
  }

  /**
   * Records that the worker holds a shard or will request it. Throws ProtocolError if the shard is not part of the run.
   */
  markHeld(sha256: string): void {
    if (!this.#records.has(sha256)) {
      throw new ProtocolError(`a worker holds shard ${sha256.slice(0, 12)}, which is not part of the run`);
    }
    this.#held.add(sha256);
  }

  /**
   * Sends part of a shard in chunks. Each chunk waits until the previous one has been sent, so that a slow worker does
   * not fill the coordinator's memory. Requests take turns. Throws ProtocolError if the shard or the bytes do not
   * exist, or if too many requests are waiting.
   */
  request(sha256: string, offset: number, bytes: number): void {
    const records = this.#records.get(sha256);
    const end = offset + bytes;
    if (records === undefined) {
      throw new ProtocolError(`a worker requested shard ${sha256.slice(0, 12)}, which is not part of the run`);
    }
    if (end > records.length) {
      const shard = `shard ${sha256.slice(0, 12)} (${records.length} bytes)`;
      throw new ProtocolError(`a worker requested bytes ${offset} to ${end - 1} of ${shard}, past its end`);
    }
    // A prefetched chunk of each shard may be on its way when the rest is requested.
    if (this.#requests.length > 2 * this.#records.size) {
      throw new ProtocolError(
        `a worker requested shard data while ${this.#requests.length} requests were already waiting`,
      );
    }
    this.#requests.push({ sha256, records, next: offset, end });
    if (this.#requests.length === 1) this.#sendChunk();
  }

  #sendChunk(): void {
    const [request] = this.#requests;
    if (request === undefined) return;
    const { records, next, end } = request;
    const chunk = bytesOf(records, next, Math.min(end, next + chunkBytes));
    if (chunk instanceof Uint8Array) this.#sendBytes(request, chunk);
    else {
      chunk.then(
        (bytes) => this.#sendBytes(request, bytes),
        (error: unknown) => this.#handlers.failed(messageOf(error)),
      );
    }
  }

  #sendBytes(request: Request, chunk: Uint8Array): void {
    const header: CoordinatorMessage = { type: 'shard-chunk', sha256: request.sha256, offset: request.next };
    this.#handlers.send(encodeFrame(header, chunk), (error) => {
      // The owner of the socket closes a failed connection.
      if (error) return;
      this.#requests.shift();
      request.next += chunk.length;
      if (request.next < request.end) this.#requests.push(request);
      this.#sendChunk();
    });
  }
}

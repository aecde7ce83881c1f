// The shards of the data set that a worker works on: from memory, else from its cache, else from the coordinator.
import { ProtocolError } from '../../shared/errors.js';
import { prefetchChunkBytes, type Shard, type Split } from '../../shared/protocol/messages.js';
import type { PartialDownload, ShardMemoryCache } from './shard-memory-cache.js';
import { sha256Of, type ShardCache } from './shard-cache.js';

/** What is said to the coordinator. */
export interface ShardSource {
  /** Asks for so many bytes of a shard from an offset on. */
  request: (sha256: string, offset: number, bytes: number) => void;
  /** Tells that a shard is here now. */
  held: (sha256: string) => void;
}

interface Transfer {
  shard: Shard;
  part: PartialDownload;
  /** Bytes before this have been asked for. */
  requestedEnd: number;
  resolve: (records: Uint8Array) => void;
  reject: (error: Error) => void;
}

export class ShardClient {
  readonly #shards = new Map<string, Shard>();
  readonly #memoryCache: ShardMemoryCache;
  readonly #cache: ShardCache;
  readonly #source: ShardSource;
  /** On the way, by hash. */
  readonly #fetches = new Map<string, Promise<Uint8Array>>();
  readonly #transfers = new Map<string, Transfer>();
  /** Shards that are waited for: others are fetched a chunk at a time. */
  readonly #urgent = new Set<string>();
  /** Shards that the coordinator was told of. */
  readonly #told = new Set<string>();
  #isAbandoned = false;

  constructor(shards: readonly Shard[], memoryCache: ShardMemoryCache, cache: ShardCache, source: ShardSource) {
    for (const shard of shards) this.#shards.set(`${shard.split} ${shard.index}`, shard);
    this.#memoryCache = memoryCache;
    this.#cache = cache;
    this.#source = source;
    memoryCache.keepOnly(new Set(shards.map(({ sha256 }) => sha256)));
  }

  /** A shard's records. Rejects with ProtocolError for a shard the welcome did not list, or one with another hash. */
  async recordsOf(split: Split, index: number): Promise<Uint8Array> {
    const shard = this.#shards.get(`${split} ${index}`);
    if (shard === undefined) throw new ProtocolError(`asked about ${split} shard ${index}, which was not announced`);
    const { sha256 } = shard;
    const records = this.#memoryCache.get(sha256);
    if (records !== undefined) return records;
    this.#urgent.add(sha256);
    const transfer = this.#transfers.get(sha256);
    if (transfer !== undefined) this.#requestMore(transfer);
    return this.#fetch(shard);
  }

  /** Fetches a shard before it is needed, letting everything else go first. Rejects as recordsOf does. */
  async prefetch(sha256: string): Promise<void> {
    const shard = [...this.#shards.values()].find((known) => known.sha256 === sha256);
    if (shard === undefined) throw new ProtocolError(`asked to fetch shard ${sha256}, which was not announced`);
    // Asked once more while it is on its way, there is nothing to add.
    if (this.#fetches.has(sha256)) return;
    if (this.#memoryCache.get(sha256) === undefined) await this.#fetch(shard);
    else this.#tellHeld(sha256);
  }

  /** Takes the next bytes of a shard that was asked for. Throws ProtocolError for any others. */
  receive(sha256: string, offset: number, chunk: Uint8Array): void {
    const transfer = this.#transfers.get(sha256);
    const end = offset + chunk.length;
    if (transfer?.part.received !== offset || end > transfer.requestedEnd || chunk.length === 0) {
      throw new ProtocolError(`bytes ${offset} to ${end} of shard ${sha256} were not asked for`);
    }
    const { shard, part } = transfer;
    part.append(chunk);
    if (part.received < shard.bytes) {
      if (part.received === transfer.requestedEnd) this.#requestMore(transfer);
      return;
    }
    this.#transfers.delete(sha256);
    if (sha256Of(part.records) === sha256) {
      transfer.resolve(part.records);
    } else {
      this.#memoryCache.dropPart(sha256);
      transfer.reject(new ProtocolError(`shard ${sha256} came with other bytes than its hash says`));
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

  async #fetch(shard: Shard): Promise<Uint8Array> {
    const { sha256 } = shard;
    let fetch = this.#fetches.get(sha256);
    if (fetch === undefined) {
      fetch = this.#fetchAndKeep(shard);
      this.#fetches.set(sha256, fetch);
    }
    return fetch;
  }

  async #fetchAndKeep(shard: Shard): Promise<Uint8Array> {
    const { sha256 } = shard;
    const cached = await this.#cache.read(sha256);
    if (this.#isAbandoned) throw closedTooEarly();
    const records = cached?.length === shard.bytes ? cached : await this.#transfer(shard);
    this.#memoryCache.put(sha256, records);
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

  async #transfer(shard: Shard): Promise<Uint8Array> {
    return new Promise<Uint8Array>((resolve, reject) => {
      const part = this.#memoryCache.partOf(shard.sha256, shard.bytes);
      const transfer: Transfer = { shard, part, requestedEnd: part.received, resolve, reject };
      this.#transfers.set(shard.sha256, transfer);
      this.#requestMore(transfer);
    });
  }

  /** All that is missing of a shard that is waited for; of another, one chunk. */
  #requestMore(transfer: Transfer): void {
    const { shard, requestedEnd: offset } = transfer;
    const missing = shard.bytes - offset;
    if (missing === 0) return;
    const bytes = this.#urgent.has(shard.sha256) ? missing : Math.min(missing, prefetchChunkBytes);
    transfer.requestedEnd = offset + bytes;
    this.#source.request(shard.sha256, offset, bytes);
  }
}

function closedTooEarly(): ProtocolError {
  return new ProtocolError('the connection closed before the shard was here');
}

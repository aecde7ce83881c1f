// Provides the shards of a run over one connection: from memory, otherwise from the disk cache, otherwise from the
// coordinator.
import { firstInvalidLabel, labelAt, type RecordFormat } from '../../shared/dataset/record-format.js';
import { ProtocolError } from '../../shared/errors.js';
import { prefetchChunkBytes, type Shard, type Split, type WorkerMessage } from '../../shared/protocol/messages.js';
import { sha256Of } from '../../shared/sha256.js';
import type { PartialDownload, ShardMemoryCache } from './shard-memory-cache.js';

/** Cache that keeps shards between runs. A cache that fails behaves as if it were empty. */
export interface ShardCache {
  /** Returns the hashes of the cached shards, some of which may turn out to be damaged. */
  list(): Promise<string[]>;
  /** Returns the records of a shard, or undefined if the shard is missing or damaged. */
  read(sha256: string): Promise<Uint8Array | undefined>;
  write(sha256: string, records: Uint8Array): Promise<void>;
}

export interface ShardCaches {
  memory: ShardMemoryCache;
  disk: ShardCache;
}

interface Transfer {
  shard: Shard;
  download: PartialDownload;
  /** Offset at which the bytes requested so far end. */
  requestedEnd: number;
  resolve: (records: Uint8Array) => void;
  reject: (error: Error) => void;
}

export class ShardClient {
  readonly #shards: ReadonlyMap<string, Shard>;
  readonly #format: RecordFormat;
  readonly #caches: ShardCaches;
  readonly #send: (message: WorkerMessage) => void;
  /** Fetches that are in progress or have failed, by hash. */
  readonly #fetches = new Map<string, Promise<Uint8Array>>();
  readonly #transfers = new Map<string, Transfer>();
  /** Hashes of the shards that a computation is waiting for. Other shards are fetched one chunk at a time. */
  readonly #urgent = new Set<string>();
  /** Hashes of the shards that were reported to the coordinator. */
  readonly #reported = new Set<string>();
  #isAbandoned = false;

  constructor(
    shards: readonly Shard[],
    format: RecordFormat,
    caches: ShardCaches,
    send: (message: WorkerMessage) => void,
  ) {
    this.#format = format;
    this.#shards = new Map(shards.map((shard) => [`${shard.split} ${shard.index}`, shard]));
    this.#caches = caches;
    this.#send = send;
    caches.memory.keepOnly(new Set(shards.map(({ sha256 }) => sha256)));
  }

  /**
   * Returns the records of a shard. Rejects with ProtocolError if the welcome did not list the shard or if its data is
   * invalid.
   */
  async recordsOf(split: Split, index: number): Promise<Uint8Array> {
    const shard = this.#shards.get(`${split} ${index}`);
    if (shard === undefined) throw new ProtocolError(`${split} shard ${index} is not in the welcome`);
    const { sha256 } = shard;
    const records = this.#caches.memory.get(sha256);
    if (records !== undefined) return records;
    this.#urgent.add(sha256);
    const transfer = this.#transfers.get(sha256);
    if (transfer !== undefined) this.#requestMore(transfer);
    return this.#fetch(shard);
  }

  /** Fetches a shard in advance, at low priority. Rejects for the same reasons as recordsOf. */
  async prefetch(sha256: string): Promise<void> {
    const shard = [...this.#shards.values()].find((listed) => listed.sha256 === sha256);
    if (shard === undefined) throw new ProtocolError(`shard ${sha256} is not in the welcome`);
    if (this.#fetches.has(sha256)) return;
    if (this.#caches.memory.get(sha256) === undefined) await this.#fetch(shard);
    else this.#reportHeld(sha256);
  }

  /** Handles the next chunk of a shard. Throws ProtocolError if the chunk was not requested. */
  receive(sha256: string, offset: number, chunk: Uint8Array): void {
    const transfer = this.#transfers.get(sha256);
    const end = offset + chunk.length;
    if (transfer?.download.received !== offset || end > transfer.requestedEnd || chunk.length === 0) {
      throw new ProtocolError(`bytes ${offset} to ${end} of shard ${sha256} were not requested`);
    }
    const { shard, download } = transfer;
    download.append(chunk);
    if (end < shard.bytes) {
      if (end === transfer.requestedEnd) this.#requestMore(transfer);
      return;
    }
    this.#transfers.delete(sha256);
    if (sha256Of(download.records) === sha256) {
      transfer.resolve(download.records);
    } else {
      this.#caches.memory.dropDownload(sha256);
      transfer.reject(new ProtocolError(`the data of shard ${sha256} does not match its hash`));
    }
  }

  /** Fails all transfers after the connection has closed. Resolves when all fetching and writing has ended. */
  async abandon(): Promise<void> {
    this.#isAbandoned = true;
    for (const transfer of this.#transfers.values()) transfer.reject(connectionClosed());
    this.#transfers.clear();
    await Promise.allSettled(this.#fetches.values());
  }

  async #fetch(shard: Shard): Promise<Uint8Array> {
    let fetch = this.#fetches.get(shard.sha256);
    if (fetch === undefined) {
      fetch = this.#fetchAndKeep(shard);
      this.#fetches.set(shard.sha256, fetch);
    }
    return fetch;
  }

  async #fetchAndKeep(shard: Shard): Promise<Uint8Array> {
    const { sha256 } = shard;
    const { memory, disk } = this.#caches;
    const cached = await disk.read(sha256);
    if (this.#isAbandoned) throw connectionClosed();
    const records = cached?.length === shard.bytes ? cached : await this.#transfer(shard);
    assertLabels(shard, records, this.#format);
    memory.put(sha256, records);
    this.#reportHeld(sha256);
    if (records !== cached) await disk.write(sha256, records);
    this.#fetches.delete(sha256);
    return records;
  }

  /**
   * Tells the coordinator that this worker holds a shard, once per shard. If the worker answered every request, a
   * coordinator that sends endless requests but reads nothing could exhaust the worker's memory.
   */
  #reportHeld(sha256: string): void {
    if (this.#reported.has(sha256)) return;
    this.#reported.add(sha256);
    this.#send({ type: 'shard-held', sha256 });
  }

  async #transfer(shard: Shard): Promise<Uint8Array> {
    return new Promise<Uint8Array>((resolve, reject) => {
      const download = this.#caches.memory.downloadOf(shard.sha256, shard.bytes);
      const transfer: Transfer = { shard, download, requestedEnd: download.received, resolve, reject };
      this.#transfers.set(shard.sha256, transfer);
      this.#requestMore(transfer);
    });
  }

  /** Requests the rest of an urgent shard, or the next chunk of any other shard. */
  #requestMore(transfer: Transfer): void {
    const { shard, requestedEnd: offset } = transfer;
    const missing = shard.bytes - offset;
    if (missing === 0) return;
    const bytes = this.#urgent.has(shard.sha256) ? missing : Math.min(missing, prefetchChunkBytes);
    transfer.requestedEnd = offset + bytes;
    this.#send({ type: 'shard-request', sha256: shard.sha256, offset, bytes });
  }
}

/** Throws ProtocolError if a label is not a valid class, because engines use labels as array indices. */
function assertLabels({ split, index }: Shard, records: Uint8Array, format: RecordFormat): void {
  const image = firstInvalidLabel(records, format);
  if (image === undefined) return;
  const label = labelAt(records, image, format);
  throw new ProtocolError(`image ${image} of ${split} shard ${index} has the invalid label ${label}`);
}

function connectionClosed(): ProtocolError {
  return new ProtocolError('the connection closed before the shard arrived');
}

// Provides the shards of a run over one connection: those that the worker already has, otherwise from its cache, otherwise
// from the coordinator.
import type { RecordFormat } from '../../shared/dataset/record-format.js';
import { ProtocolError } from '../../shared/errors.js';
import { chunkBytes, type Shard, type Split, type WorkerMessage } from '../../shared/protocol/messages.js';
import type { RunShards } from './run-shards.js';
import type { ShardDownload } from './shard-download.js';
import type { ShardRecords } from './shard-records.js';

/** Maximum number of bytes to request at once: what is in memory if they arrive faster than they can be stored. */
const maxRequestBytes = 64 << 20;

interface Transfer {
  shard: Shard;
  download: ShardDownload;
  /** Offset at which the bytes requested so far end. */
  requestedEnd: number;
  /** Called when all bytes have arrived. */
  resolve: () => void;
  reject: (error: Error) => void;
}

export class ShardClient {
  readonly #shards: ReadonlyMap<string, Shard>;
  readonly #format: RecordFormat;
  readonly #held: RunShards;
  readonly #send: (message: WorkerMessage) => void;
  /** Fetches that are in progress or have failed, by hash. */
  readonly #fetches = new Map<string, Promise<ShardRecords>>();
  readonly #transfers = new Map<string, Transfer>();
  /** Hashes of the shards that a computation is waiting for. Other shards are fetched one chunk at a time. */
  readonly #urgent = new Set<string>();
  /** Hashes of the shards that were reported to the coordinator. */
  readonly #reported = new Set<string>();
  #isAbandoned = false;

  constructor(shards: readonly Shard[], format: RecordFormat, held: RunShards, send: (message: WorkerMessage) => void) {
    this.#format = format;
    this.#shards = new Map(shards.map((shard) => [`${shard.split} ${shard.index}`, shard]));
    this.#held = held;
    this.#send = send;
    held.startRun(shards);
  }

  /**
   * Returns the records of a shard. Rejects with ProtocolError if the welcome did not list the shard or if its data is
   * invalid.
   */
  async recordsOf(split: Split, index: number): Promise<ShardRecords> {
    const shard = this.#shards.get(`${split} ${index}`);
    if (shard === undefined) throw new ProtocolError(`${split} shard ${index} is not in the welcome`);
    const { sha256 } = shard;
    const records = this.#held.get(sha256);
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
    if (this.#held.get(sha256) === undefined) await this.#fetch(shard);
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
    transfer.resolve();
  }

  /** Fails all transfers after the connection has closed. Resolves when all fetching and writing has ended. */
  async abandon(): Promise<void> {
    this.#isAbandoned = true;
    for (const transfer of this.#transfers.values()) transfer.reject(connectionClosed());
    this.#transfers.clear();
    await Promise.allSettled(this.#fetches.values());
  }

  async #fetch(shard: Shard): Promise<ShardRecords> {
    let fetch = this.#fetches.get(shard.sha256);
    if (fetch === undefined) {
      fetch = this.#fetchAndKeep(shard);
      this.#fetches.set(shard.sha256, fetch);
    }
    return fetch;
  }

  async #fetchAndKeep(shard: Shard): Promise<ShardRecords> {
    const cached = await this.#held.openCached(shard, this.#format);
    if (this.#isAbandoned) throw connectionClosed();
    const records = cached ?? (await this.#transfer(shard));
    this.#reportHeld(shard.sha256);
    this.#fetches.delete(shard.sha256);
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

  async #transfer(shard: Shard): Promise<ShardRecords> {
    const download = await this.#held.downloadOf(shard);
    if (this.#isAbandoned) throw connectionClosed();
    if (download.received < shard.bytes) {
      await new Promise<void>((resolve, reject) => {
        const transfer: Transfer = { shard, download, requestedEnd: download.received, resolve, reject };
        this.#transfers.set(shard.sha256, transfer);
        this.#requestMore(transfer);
      });
    }
    return this.#held.complete(shard, this.#format);
  }

  /** Requests as much as possible of an urgent shard, or the next chunk of any other shard. */
  #requestMore(transfer: Transfer): void {
    const { shard, requestedEnd: offset } = transfer;
    const missing = shard.bytes - offset;
    if (missing === 0) return;
    const bytes = Math.min(missing, this.#urgent.has(shard.sha256) ? maxRequestBytes : chunkBytes);
    transfer.requestedEnd = offset + bytes;
    this.#send({ type: 'shard-request', sha256: shard.sha256, offset, bytes });
  }
}

function connectionClosed(): ProtocolError {
  return new ProtocolError('the connection closed before the shard arrived');
}

// The shards of a run as a relay serves them to its workers. A shard is fetched from the coordinator when a worker requests
// it for the first time; then it is in the cache of the relay.
import type { RecordsFile } from '../shared/dataset/records.js';
import type { Shard } from '../shared/protocol/messages.js';
import type { ShardClient } from '../worker/shards/shard-client.js';

/** A connection to the coordinator. */
interface Source {
  client: ShardClient;
  /** Called if a shard is invalid or cannot be stored. */
  onFailure: (error: unknown) => void;
}

export class RelayShards {
  /** Records of each shard, by the shard's SHA-256. */
  readonly records: ReadonlyMap<string, RecordsFile>;
  #source: Source | undefined;
  /** Reads that wait until the relay is connected again. */
  #waiting: ((source: Source) => void)[] = [];

  constructor(shards: readonly Shard[]) {
    this.records = new Map(
      shards.map((shard) => [
        shard.sha256,
        { length: shard.bytes, read: (target, position) => this.#read(shard, target, position) },
      ]),
    );
  }

  /** Fetches shards over this connection from now on. */
  connected(client: ShardClient, onFailure: (error: unknown) => void): void {
    this.#source = { client, onFailure };
    for (const resolve of this.#waiting.splice(0)) resolve(this.#source);
  }

  /** The connection was lost: reads wait for the next one. Call this before the client's transfers fail. */
  disconnected(): void {
    this.#source = undefined;
  }

  async #read(shard: Shard, target: Uint8Array, position: number): Promise<void> {
    for (;;) {
      const source = this.#source ?? (await new Promise<Source>((resolve) => this.#waiting.push(resolve)));
      try {
        const records = await source.client.recordsOf(shard.split, shard.index);
        return await records.readBytes(target, position);
      } catch (error) {
        // A transfer that failed because the connection was lost is repeated over the next one.
        if (this.#source !== source) continue;
        source.onFailure(error);
        throw error;
      }
    }
  }
}

// The interface between the shard cache and the kinds of storage that browsers have.
import type { NewShardFile } from '../shards/shard-cache.js';

/** Storage of a browser for shards. Its methods throw the browser's errors. */
export interface ShardStore {
  /** Returns the stored shards, oldest first. */
  list(): Promise<StoredShard[]>;
  /** Returns the contents of a shard, or undefined if it is missing. */
  open(sha256: string): Promise<Blob | undefined>;
  /** Returns a new file with room for this many bytes, or undefined if the store cannot be written in parts. */
  create(sha256: string, bytes: number): Promise<NewShardFile | undefined>;
  write(sha256: string, records: Uint8Array): Promise<void>;
  /** Removes a shard, if it exists. */
  remove(sha256: string): Promise<void>;
}

export interface StoredShard {
  sha256: string;
  bytes: number;
}

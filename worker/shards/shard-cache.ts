// The interface between a worker's shards and the files in which they are cached.

/** A file with the records of one shard. */
export interface ShardFile {
  /** Fills `target` with the bytes of the file from this position on. */
  read(target: Uint8Array, position: number): Promise<void>;
  close(): void;
}

/** A file that is being written. Other workers do not see it until keep() is called. */
export interface NewShardFile extends ShardFile {
  /** Throws `save-failed` if the bytes cannot be written. */
  write(chunk: Uint8Array, position: number): void;
  /** Adds the file to the cache. It stays open. Throws `save-failed` if this is not possible. */
  keep(): Promise<void>;
  /** Closes and deletes the file. */
  discard(): void;
}

/** Cache that keeps shards between runs. A cache that fails behaves as if it were empty. */
export interface ShardCache {
  /** Returns the hashes of the cached shards, some of which may turn out to be damaged. */
  list(): Promise<string[]>;
  /** Opens a shard, whose contents may be damaged. Returns undefined if it is missing or has another size. */
  open(sha256: string, bytes: number): Promise<ShardFile | undefined>;
  /** Returns a new file for a shard of this size, or undefined if the cache cannot store it in a file. */
  create(sha256: string, bytes: number): Promise<NewShardFile | undefined>;
  /** Adds a shard. If it cannot be stored, reports the failure. */
  write(sha256: string, records: Uint8Array): Promise<void>;
  remove(sha256: string): Promise<void>;
  /** Makes room for a run's shards, so that shards of this size do not displace each other. */
  reserve(bytes: number): void;
}

export const noShardCache: ShardCache = {
  list: () => Promise.resolve([]),
  open: () => Promise.resolve(undefined),
  create: () => Promise.resolve(undefined),
  write: () => Promise.resolve(),
  remove: () => Promise.resolve(),
  reserve: () => undefined,
};

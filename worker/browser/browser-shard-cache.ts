// Caches shards in the storage of a browser. Shards are stored by SHA-256; whoever opens one verifies it.
import { LockstepError, messageOf } from '../../shared/errors.js';
import type { NewShardFile, ShardCache, ShardFile } from '../shards/shard-cache.js';
import { ShardBlob } from './shard-blob.js';
import type { ShardStore } from './shard-store.js';

/**
 * Default maximum size of the cache, in addition to the shards of the current run. Shards depend on the seed, so runs
 * with new seeds keep adding shards. CIFAR-10 takes 184 MB.
 */
const defaultLimitBytes = 2 * 1024 ** 3;
/** Names of the errors of a full storage: the standard one, and one of Firefox. */
const fullStorageErrors = new Set(['QuotaExceededError', 'NS_ERROR_FILE_NO_DEVICE_SPACE']);
const sha256Pattern = /^[0-9a-f]{64}$/;

export class BrowserShardCache implements ShardCache {
  readonly #store: ShardStore;
  readonly #limitBytes: number;
  readonly #onFailure: (message: string) => void;
  #reservedBytes = 0;
  #hasFailed = false;

  /**
   * @param onFailure called at the first error of the storage; operations that fail behave as if the cache were empty
   * @param limitBytes total size of the shards of other runs, above which the oldest ones are removed
   */
  constructor(store: ShardStore, onFailure: (message: string) => void, limitBytes = defaultLimitBytes) {
    this.#store = store;
    this.#limitBytes = limitBytes;
    this.#onFailure = onFailure;
  }

  async list(): Promise<string[]> {
    return this.#orIfItFails([], async () => (await this.#store.list()).map(({ sha256 }) => sha256));
  }

  async open(sha256: string, bytes: number): Promise<ShardFile | undefined> {
    requireSha256(sha256);
    return this.#orIfItFails(undefined, async () => {
      const contents = await this.#store.open(sha256);
      if (contents === undefined) return undefined;
      if (contents.size === bytes) return new ShardBlob(contents);
      await this.#store.remove(sha256);
      return undefined;
    });
  }

  async create(sha256: string, bytes: number): Promise<NewShardFile | undefined> {
    requireSha256(sha256);
    return this.#orIfItFails(undefined, async () => {
      await this.#makeRoom(bytes);
      return this.#store.create(sha256, bytes);
    });
  }

  async write(sha256: string, records: Uint8Array): Promise<void> {
    requireSha256(sha256);
    return this.#orIfItFails(undefined, async () => {
      await this.#makeRoom(records.length);
      await this.#store.write(sha256, records);
    });
  }

  async remove(sha256: string): Promise<void> {
    requireSha256(sha256);
    return this.#orIfItFails(undefined, () => this.#store.remove(sha256));
  }

  reserve(bytes: number): void {
    this.#reservedBytes = bytes;
  }

  /** Removes the oldest shards, so that this many bytes can be added. */
  async #makeRoom(bytes: number): Promise<void> {
    const shards = await this.#store.list();
    let total = shards.reduce((sum, shard) => sum + shard.bytes, bytes);
    for (const shard of shards) {
      if (total <= this.#limitBytes + this.#reservedBytes) return;
      await this.#store.remove(shard.sha256);
      total -= shard.bytes;
    }
  }

  /** Performs an operation. If it fails, returns `value` and reports the failure, unless one was reported before. */
  async #orIfItFails<Value>(value: Value, operation: () => Promise<Value>): Promise<Value> {
    try {
      return await operation();
    } catch (error) {
      if (!this.#hasFailed) this.#onFailure(failureMessage(error));
      this.#hasFailed = true;
      return value;
    }
  }
}

function failureMessage(error: unknown): string {
  const cause = error instanceof LockstepError ? error.cause : error;
  const name = nameOf(cause);
  const problem = fullStorageErrors.has(name)
    ? `the browser's storage is full (${name})`
    : `the browser cannot store shards (${messageOf(cause)})`;
  return `${problem}: shards are kept in memory only, and downloaded again after a reload`;
}

/** Some errors of Firefox are not instances of Error. */
function nameOf(thrown: unknown): string {
  return typeof thrown === 'object' && thrown !== null && 'name' in thrown ? String(thrown.name) : '';
}

/**
 * Shards' names come from the network. The parser has already validated them; check them again before they become names
 * of files.
 */
function requireSha256(sha256: string): void {
  if (!sha256Pattern.test(sha256)) throw new RangeError(`not a SHA-256: ${sha256}`);
}

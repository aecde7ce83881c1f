// Stores shards as responses in the Cache API, for browsers without an origin private file system.
import type { ShardStore, StoredShard } from './shard-store.js';

const cacheName = 'lockstep-shards';
const pathPattern = /^\/lockstep-shards\/([0-9a-f]{64})\.bin$/;

export class CacheApiShardStore implements ShardStore {
  readonly #cache: Cache;

  private constructor(cache: Cache) {
    this.#cache = cache;
  }

  /** Throws the browser's error where the Cache API is not available. */
  static async open(): Promise<CacheApiShardStore> {
    return new CacheApiShardStore(await caches.open(cacheName));
  }

  /** Caches list their entries in the order in which they were added. */
  async list(): Promise<StoredShard[]> {
    const shards: StoredShard[] = [];
    for (const request of await this.#cache.keys()) {
      const sha256 = pathPattern.exec(new URL(request.url).pathname)?.[1];
      const response = sha256 === undefined ? undefined : await this.#cache.match(request);
      const bytes = Number(response?.headers.get('content-length') ?? undefined);
      // Another tab may have removed the shard in the meantime.
      if (sha256 !== undefined && response !== undefined) shards.push({ sha256, bytes });
    }
    return shards;
  }

  async open(sha256: string): Promise<Blob | undefined> {
    return (await this.#cache.match(urlOf(sha256)))?.blob();
  }

  /** Entries cannot be written in parts. */
  create(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  async write(sha256: string, records: Uint8Array): Promise<void> {
    const headers = { 'content-type': 'application/octet-stream', 'content-length': String(records.length) };
    // Records are never in shared memory, which responses do not accept.
    const body = records as Uint8Array<ArrayBuffer>;
    await this.#cache.put(urlOf(sha256), new Response(body, { headers }));
  }

  async remove(sha256: string): Promise<void> {
    await this.#cache.delete(urlOf(sha256));
  }
}

/** The URL is only a key: nothing is fetched from it. */
function urlOf(sha256: string): string {
  return `${self.origin}/lockstep-shards/${sha256}.bin`;
}

// Opens the shard cache in the best storage that the browser offers.
import type { TabCacheKind } from '../../shared/worker/tab-messages.js';
import { noShardCache, type ShardCache } from '../shards/shard-cache.js';
import { BrowserShardCache } from './browser-shard-cache.js';
import { CacheApiShardStore } from './cache-api-shard-store.js';
import { OpfsShardStore } from './opfs-shard-store.js';

export interface OpenedShardCache {
  cache: ShardCache;
  kind: TabCacheKind;
}

/**
 * Neither storage is available over plain HTTP, except on loopback. Private windows of Firefox have only the Cache API.
 * @param onFailure called at the first error of the storage; see BrowserShardCache
 */
export async function openShardCache(onFailure: (message: string) => void): Promise<OpenedShardCache> {
  for (const [kind, Store] of [
    ['opfs', OpfsShardStore],
    ['cache-api', CacheApiShardStore],
  ] as const) {
    try {
      return { kind, cache: new BrowserShardCache(await Store.open(), onFailure) };
    } catch {
      // This browser does not offer it here.
    }
  }
  return { kind: 'none', cache: noShardCache };
}

// Program of a Web Worker with a shard cache. It answers calls from the page, each with its own message port.
import { BrowserShardCache } from '../../../../worker/browser/browser-shard-cache.js';
import { CacheApiShardStore } from '../../../../worker/browser/cache-api-shard-store.js';
import type { TabCacheKind } from '../../../../shared/worker/tab-messages.js';
import { openShardCache } from '../../../../worker/browser/open-shard-cache.js';
import { OpfsShardStore } from '../../../../worker/browser/opfs-shard-store.js';
import type { NewShardFile, ShardCache, ShardFile } from '../../../../worker/shards/shard-cache.js';

let cache: ShardCache;
let opened: ShardFile | undefined;
let created: NewShardFile | undefined;
const failures: string[] = [];
/** Maximum size per call of `getRandomValues`. */
const maxRandomBytes = 65_536;

const encode = (text: string) => new TextEncoder().encode(text);
const onFailure = (message: string) => void failures.push(message);

async function textOf(file: ShardFile, position: number, bytes: number): Promise<string> {
  const contents = new Uint8Array(bytes);
  await file.read(contents, position);
  return new TextDecoder().decode(contents);
}

async function folder(): Promise<FileSystemDirectoryHandle> {
  return (await navigator.storage.getDirectory()).getDirectoryHandle('lockstep-shards', { create: true });
}

const calls = {
  /** Opens the cache in one kind of storage. */
  openIn: async (storage: 'opfs' | 'cache-api', limitBytes: number | null) => {
    const Store = storage === 'opfs' ? OpfsShardStore : CacheApiShardStore;
    cache = new BrowserShardCache(await Store.open(), onFailure, limitBytes ?? undefined);
  },
  /** Opens the cache in the best storage, and returns which one that is. */
  openBest: async (): Promise<TabCacheKind> => {
    const best = await openShardCache(onFailure);
    ({ cache } = best);
    return best.kind;
  },
  failures: () => failures,

  list: () => cache.list(),
  write: (sha256: string, text: string) => cache.write(sha256, encode(text)),
  /** Writes random bytes, because Firefox compresses what is in the Cache API. */
  writeRandom: (sha256: string, bytes: number) => {
    const records = new Uint8Array(bytes);
    for (let offset = 0; offset < bytes; offset += maxRandomBytes) {
      crypto.getRandomValues(records.subarray(offset, offset + maxRandomBytes));
    }
    return cache.write(sha256, records);
  },
  remove: (sha256: string) => cache.remove(sha256),
  reserve: (bytes: number) => cache.reserve(bytes),
  /** Returns the contents of a cached shard, or null. */
  read: async (sha256: string, bytes: number) => {
    const file = await cache.open(sha256, bytes);
    if (file === undefined) return null;
    const text = await textOf(file, 0, bytes);
    file.close();
    return text;
  },
  open: async (sha256: string, bytes: number) => {
    opened = await cache.open(sha256, bytes);
  },
  readOpened: (position: number, bytes: number) => textOf(opened!, position, bytes),

  /** Returns whether the cache stores the new shard in a file. */
  create: async (sha256: string, bytes: number) => {
    created = await cache.create(sha256, bytes);
    return created !== undefined;
  },
  append: (text: string, position: number) => created!.write(encode(text), position),
  readCreated: (position: number, bytes: number) => textOf(created!, position, bytes),
  keep: () => created!.keep(),
  close: () => created!.close(),
  discard: () => created!.discard(),

  /** Names of the files, without the random parts. */
  files: async () => {
    const names: string[] = [];
    for await (const name of (await folder()).keys()) names.push(name.replace(/\.[0-9a-f-]{36}\./, '.UUID.'));
    return names.toSorted();
  },
  store: async (name: string, text: string) => {
    const access = await (await (await folder()).getFileHandle(name, { create: true })).createSyncAccessHandle();
    access.truncate(0);
    access.write(encode(text));
    access.close();
  },
  unlink: async (name: string) => (await folder()).removeEntry(name),
  clear: async () => {
    for await (const name of (await folder()).keys()) await (await folder()).removeEntry(name);
    await caches.delete('lockstep-shards');
  },

  passMinutes: (minutes: number) => {
    const { now } = Date;
    Date.now = () => now() + minutes * 60_000;
  },
  removeMove: () => {
    // Firefox has the method in the superclass.
    for (const { prototype } of [FileSystemFileHandle, FileSystemHandle]) delete (prototype as { move?: unknown }).move;
  },
  refuseMove: () => {
    FileSystemFileHandle.prototype.move = () => Promise.reject(new DOMException('no moving', 'NotAllowedError'));
  },
  removeOpfs: () => {
    navigator.storage.getDirectory = () => Promise.reject(new DOMException('no OPFS', 'SecurityError'));
  },
};

self.addEventListener('message', ({ data, ports }: MessageEvent<[keyof typeof calls, never[]]>) => {
  const [name, parameters] = data;
  const call: (...values: never[]) => unknown = calls[name];
  void (async () => call(...parameters))().then(
    (result) => ports[0].postMessage({ result }),
    (error: unknown) => ports[0].postMessage({ error: String(error) }),
  );
});

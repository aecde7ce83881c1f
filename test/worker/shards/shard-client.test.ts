import { createHash } from 'node:crypto';
import { describe, expect, it, vi } from 'vitest';
import { prefetchChunkBytes, type Shard } from '../../../shared/protocol/messages.js';
import { ShardMemoryCache } from '../../../worker/shards/shard-memory-cache.js';
import { ShardClient } from '../../../worker/shards/shard-client.js';
import { sha256Of, ShardCache } from '../../../worker/shards/shard-cache.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

const records = Buffer.from('ten bytes!');
const sha256 = createHash('sha256').update(records).digest('hex');
const shard: Shard = { split: 'training', index: 2, sha256, bytes: records.length };
const notAskedFor = expect.objectContaining({
  name: 'ProtocolError',
  message: expect.stringContaining('not asked for'),
});

function newShards(cache = new ShardCache(null), memoryCache = new ShardMemoryCache()) {
  const request = vi.fn<(sha256: string, offset: number, bytes: number) => void>();
  const held = vi.fn<(sha256: string) => void>();
  return { request, held, shards: new ShardClient([shard], memoryCache, cache, { request, held }) };
}

/** Asks for the shard and waits until the coordinator has been asked. */
async function begin(cache?: ShardCache, memoryCache?: ShardMemoryCache) {
  const { request, held, shards } = newShards(cache, memoryCache);
  const arriving = shards.recordsOf('training', 2);
  await vi.waitUntil(() => request.mock.calls.length > 0, { interval: 1, timeout: 300_000 });
  return { request, held, shards, arriving };
}

describe('a shard', () => {
  it('is asked for once, from its beginning, and put together from its chunks', async () => {
    const { request, held, shards, arriving } = await begin();
    const again = shards.recordsOf('training', 2);
    shards.receive(sha256, 0, records.subarray(0, 4));
    shards.receive(sha256, 4, records.subarray(4, 9));
    shards.receive(sha256, 9, records.subarray(9));
    expect(await arriving).toEqual(new Uint8Array(records));
    expect(await again).toBe(await arriving);
    expect(await shards.recordsOf('training', 2)).toBe(await arriving);
    expect(request.mock.calls).toEqual([[sha256, 0, 10]]);
    expect(held.mock.calls).toEqual([[sha256]]);
  });

  it('that came is kept in the cache, and the next session asks for nothing', async () => {
    const cache = new ShardCache(await temporaryFolder());
    const { shards, arriving } = await begin(cache);
    shards.receive(sha256, 0, records);
    await arriving;
    expect(await cache.read(sha256)).toEqual(records);
    const next = newShards(cache);
    expect(await next.shards.recordsOf('training', 2)).toEqual(records);
    expect(next.request).not.toHaveBeenCalled();
  });

  it('whose cached file is damaged is asked for', async () => {
    const cache = new ShardCache(await temporaryFolder());
    await cache.write(sha256, records.subarray(1));
    const { request, shards, arriving } = await begin(cache);
    expect(request.mock.calls).toEqual([[sha256, 0, 10]]);
    shards.receive(sha256, 0, records);
    expect(await arriving).toEqual(new Uint8Array(records));
  });

  it.each([
    ['training', 3],
    ['test', 2],
  ] as const)('that was not announced (%s %i) is refused', async (split, index) => {
    const { request, shards } = newShards();
    await expect(shards.recordsOf(split, index)).rejects.toMatchObject({
      name: 'ProtocolError',
      message: `asked about ${split} shard ${index}, which was not announced`,
    });
    expect(request).not.toHaveBeenCalled();
  });
});

describe('bytes that were not asked for', () => {
  it('are those of a shard that nobody needs', () => {
    const { shards } = newShards();
    expect(() => shards.receive(sha256, 0, records)).toThrow(notAskedFor);
  });

  it.each([
    ['that leave a gap', 5],
    ['that came already', 3],
  ])('are those %s', async (_, offset) => {
    const { shards, arriving } = await begin();
    shards.receive(sha256, 0, records.subarray(0, 4));
    expect(() => shards.receive(sha256, offset, records.subarray(offset, offset + 2))).toThrow(notAskedFor);
    // What was right before goes on.
    shards.receive(sha256, 4, records.subarray(4));
    expect(await arriving).toEqual(new Uint8Array(records));
  });

  it('are those beyond the end', async () => {
    const { shards, arriving } = await begin();
    expect(() => shards.receive(sha256, 0, Buffer.concat([records, records]))).toThrow(notAskedFor);
    shards.receive(sha256, 0, records);
    await arriving;
    expect(() => shards.receive(sha256, 10, records.subarray(0, 1))).toThrow(notAskedFor);
  });
});

describe('a shard with other bytes than its hash says', () => {
  it('is refused and not cached', async () => {
    const cache = new ShardCache(await temporaryFolder());
    const { shards, arriving } = await begin(cache);
    shards.receive(sha256, 0, Buffer.from('ten others'));
    await expect(arriving).rejects.toMatchObject({
      name: 'ProtocolError',
      message: `shard ${sha256} came with other bytes than its hash says`,
    });
    expect(await cache.list()).toEqual([]);
  });
});

describe('when the connection is gone', () => {
  const closed = { name: 'ProtocolError', message: 'the connection closed before the shard was here' };

  it('a shard on the way rejects', async () => {
    const { shards, arriving } = await begin();
    shards.receive(sha256, 0, records.subarray(0, 4));
    shards.abandon();
    await expect(arriving).rejects.toMatchObject(closed);
  });

  it('a shard still looked for in the cache rejects: nobody would answer', async () => {
    const { request, shards } = newShards(new ShardCache(await temporaryFolder()));
    const arriving = shards.recordsOf('training', 2);
    shards.abandon();
    await expect(arriving).rejects.toMatchObject(closed);
    expect(request).not.toHaveBeenCalled();
  });

  it('a shard asked about later rejects too', async () => {
    const { request, shards } = newShards();
    shards.abandon();
    await expect(shards.recordsOf('training', 2)).rejects.toMatchObject(closed);
    expect(request).not.toHaveBeenCalled();
  });
});

describe('a shard on the memoryCache', () => {
  it('is neither asked for nor looked up, also over another connection', async () => {
    const memoryCache = new ShardMemoryCache();
    const first = await begin(undefined, memoryCache);
    first.shards.receive(sha256, 0, records);
    await first.arriving;
    const second = newShards(undefined, memoryCache);
    expect(await second.shards.recordsOf('training', 2)).toEqual(new Uint8Array(records));
    expect(second.request).not.toHaveBeenCalled();
  });

  it('is one of this run: those of others are given up', () => {
    const memoryCache = new ShardMemoryCache();
    memoryCache.put('of another run', records);
    newShards(undefined, memoryCache);
    expect(memoryCache.hashes).toEqual([]);
  });

  it('goes on where its transfer was cut', async () => {
    const memoryCache = new ShardMemoryCache();
    const cut = await begin(undefined, memoryCache);
    cut.shards.receive(sha256, 0, records.subarray(0, 4));
    cut.shards.abandon();
    await expect(cut.arriving).rejects.toThrow('closed before');
    const next = await begin(undefined, memoryCache);
    expect(next.request.mock.calls).toEqual([[sha256, 4, 6]]);
    next.shards.receive(sha256, 4, records.subarray(4));
    expect(await next.arriving).toEqual(new Uint8Array(records));
  });
});

describe('a shard that is fetched beforehand', () => {
  const size = 2 * prefetchChunkBytes + 100;
  const large = Buffer.alloc(size, 'shard');
  const largeSha256 = createHash('sha256').update(large).digest('hex');

  async function prefetching() {
    const request = vi.fn<(sha256: string, offset: number, bytes: number) => void>();
    const held = vi.fn<(sha256: string) => void>();
    const announced: Shard = { split: 'training', index: 0, sha256: largeSha256, bytes: size };
    const shards = new ShardClient([announced], new ShardMemoryCache(), new ShardCache(null), { request, held });
    const done = shards.prefetch(largeSha256);
    await vi.waitUntil(() => request.mock.calls.length > 0, { interval: 1, timeout: 300_000 });
    const receive = (from: number, to: number) => shards.receive(largeSha256, from, large.subarray(from, to));
    return { request, held, shards, done, receive };
  }

  it('is asked for one chunk at a time', async () => {
    const { request, held, done, receive } = await prefetching();
    receive(0, prefetchChunkBytes);
    receive(prefetchChunkBytes, 2 * prefetchChunkBytes);
    expect(held).not.toHaveBeenCalled();
    receive(2 * prefetchChunkBytes, size);
    await done;
    expect(request.mock.calls).toEqual([
      [largeSha256, 0, prefetchChunkBytes],
      [largeSha256, prefetchChunkBytes, prefetchChunkBytes],
      [largeSha256, 2 * prefetchChunkBytes, 100],
    ]);
    expect(held.mock.calls).toEqual([[largeSha256]]);
  });

  it('is asked for to its end once it is needed', async () => {
    const { request, shards, done, receive } = await prefetching();
    const needed = shards.recordsOf('training', 0);
    // The first chunk is on its way; the rest comes behind it.
    expect(request.mock.calls).toEqual([
      [largeSha256, 0, prefetchChunkBytes],
      [largeSha256, prefetchChunkBytes, prefetchChunkBytes + 100],
    ]);
    receive(0, prefetchChunkBytes);
    receive(prefetchChunkBytes, size);
    await done;
    expect(sha256Of(await needed)).toBe(largeSha256);
    expect(request).toHaveBeenCalledTimes(2);
  });

  it('is told of at once where it is here already', async () => {
    const memoryCache = new ShardMemoryCache();
    memoryCache.put(sha256, records);
    const { request, held, shards } = newShards(undefined, memoryCache);
    await shards.prefetch(sha256);
    expect(request).not.toHaveBeenCalled();
    expect(held.mock.calls).toEqual([[sha256]]);
  });

  it('is refused where it was not announced', async () => {
    await expect(newShards().shards.prefetch('f'.repeat(64))).rejects.toMatchObject({ name: 'ProtocolError' });
  });
});

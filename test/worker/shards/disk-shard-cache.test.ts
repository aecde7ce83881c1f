import { mkdir, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { sha256Of } from '../../../shared/sha256.js';
import { DiskShardCache } from '../../../worker/shards/disk-shard-cache.js';
import { noShardCache, type ShardCache } from '../../../worker/shards/shard-cache.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

const records = Buffer.from('images, as far as the cache is concerned');
const sha256 = sha256Of(records);

function fail(message: string): never {
  throw new Error(message);
}

/** Returns the contents of a cached shard, or undefined. */
async function read(cache: ShardCache, hash: string, bytes = records.length): Promise<Buffer | undefined> {
  const file = await cache.open(hash, bytes);
  if (file === undefined) return undefined;
  const contents = Buffer.alloc(bytes);
  await file.read(contents, 0);
  file.close();
  return contents;
}

async function newCache() {
  const directory = path.join(await temporaryFolder(), 'deep', 'shards');
  return { directory, file: path.join(directory, `${sha256}.bin`), cache: new DiskShardCache(directory, fail) };
}

describe('a shard cache on disk', () => {
  it('is empty before the first write, and does not need an existing folder', async () => {
    const { cache } = await newCache();
    expect(await cache.list()).toEqual([]);
    expect(await read(cache, sha256)).toBeUndefined();
  });

  it('keeps a shard under its hash, and no other files', async () => {
    const { directory, cache } = await newCache();
    await cache.write(sha256, records);
    expect(await readdir(directory)).toEqual([`${sha256}.bin`]);
    expect(await cache.list()).toEqual([sha256]);
    expect(await read(cache, sha256)).toEqual(records);
  });

  it('still has a shard after a restart', async () => {
    const { directory, cache } = await newCache();
    await cache.write(sha256, records);
    expect(await read(new DiskShardCache(directory, fail), sha256)).toEqual(records);
  });

  it('may be written by several workers at the same time', async () => {
    const { directory, cache } = await newCache();
    await Promise.all([1, 2, 3].map(() => cache.write(sha256, records)));
    expect(await readdir(directory)).toEqual([`${sha256}.bin`]);
    expect(await read(cache, sha256)).toEqual(records);
  });

  it('writes a file in parts, which is not listed before it is kept', async () => {
    const { directory, cache } = await newCache();
    const file = (await cache.create(sha256))!;
    file.write(records.subarray(0, 5), 0);
    file.write(records.subarray(5), 5);
    expect(await cache.list()).toEqual([]);
    await file.keep();
    file.close();
    expect(await readdir(directory)).toEqual([`${sha256}.bin`]);
    expect(await read(cache, sha256)).toEqual(records);
  });

  it('deletes a file that is discarded, and files that were abandoned a day ago', async () => {
    const { directory, cache } = await newCache();
    await mkdir(directory, { recursive: true });
    const [recent, old] = ['11111111', '22222222'].map((id) => `${sha256}.${id}-0000-4000-8000-000000000000.partial`);
    for (const name of [recent, old]) await writeFile(path.join(directory, name), '');
    const longAgo = Date.now() / 1000 - 25 * 3600;
    await utimes(path.join(directory, old), longAgo, longAgo);
    (await cache.create(sha256))!.discard();
    expect(await readdir(directory)).toEqual([recent]);
  });

  it('reports a file that was truncated while it was in use', async () => {
    const { file, cache } = await newCache();
    await cache.write(sha256, records);
    const opened = (await cache.open(sha256, records.length))!;
    await writeFile(file, records.subarray(0, 8));
    await expect(opened.read(new Uint8Array(4), 6)).rejects.toMatchObject({
      code: 'engine-failed',
      message: `${file} ends at byte 8: it was changed while it was in use. Start the worker again`,
    });
    opened.close();
  });

  it('deletes a truncated shard', async () => {
    const { directory, file, cache } = await newCache();
    await cache.write(sha256, records);
    await writeFile(file, records.subarray(1));
    expect(await read(cache, sha256)).toBeUndefined();
    expect(await readdir(directory)).toEqual([]);
  });

  it('does not list partial and other files', async () => {
    const { directory, cache } = await newCache();
    await mkdir(directory, { recursive: true });
    for (const name of [`${sha256}.1234.partial`, `${sha256}.bin.bak`, `${sha256.slice(1)}.bin`, 'README']) {
      await writeFile(path.join(directory, name), records);
    }
    expect(await cache.list()).toEqual([]);
    expect(await read(cache, sha256)).toBeUndefined();
  });

  it.each(['', '../escape', `${sha256}/../x`, sha256.toUpperCase()])(
    'refuses to read or write a shard named %j',
    async (name) => {
      const { directory, cache } = await newCache();
      await expect(read(cache, name)).rejects.toThrow(RangeError);
      await expect(cache.write(name, records)).rejects.toThrow(RangeError);
      expect(await readdir(path.dirname(path.dirname(directory)))).toEqual([]);
    },
  );

  it('is empty after its folder was deleted', async () => {
    const { directory, cache } = await newCache();
    await cache.write(sha256, records);
    await rm(directory, { recursive: true });
    expect(await cache.list()).toEqual([]);
    expect(await read(cache, sha256)).toBeUndefined();
  });
});

describe('a full shard cache', () => {
  /** Returns a cache that has room for two of three ten-byte shards. The first was used an hour before the second. */
  async function fullCache() {
    const directory = await temporaryFolder();
    const cache = new DiskShardCache(directory, fail, 20);
    const shards = ['shard no 1', 'shard no 2', 'shard no 3'].map((text) => {
      const bytes = Buffer.from(text);
      return { bytes, sha256: sha256Of(bytes) };
    });
    for (const [hour, shard] of shards.slice(0, 2).entries()) {
      await cache.write(shard.sha256, shard.bytes);
      await utimes(path.join(directory, `${shard.sha256}.bin`), hour * 3600, hour * 3600);
    }
    return { cache, shards };
  }

  it('removes the least recently used shard when another one is written', async () => {
    const { cache, shards } = await fullCache();
    const [first, second, third] = shards;
    await cache.write(third.sha256, third.bytes);
    expect(await read(cache, first.sha256, 10)).toBeUndefined();
    expect(await read(cache, second.sha256, 10)).toEqual(second.bytes);
    expect(await read(cache, third.sha256, 10)).toEqual(third.bytes);
  });

  it('has room for the shards of the current run in addition', async () => {
    const { cache, shards } = await fullCache();
    cache.reserve(10);
    await cache.write(shards[2].sha256, shards[2].bytes);
    expect(await cache.list()).toHaveLength(3);
  });

  it('counts a read as a use', async () => {
    const { cache, shards } = await fullCache();
    const [first, second, third] = shards;
    await read(cache, first.sha256, 10);
    await cache.write(third.sha256, third.bytes);
    expect(await read(cache, second.sha256, 10)).toBeUndefined();
    expect(await read(cache, first.sha256, 10)).toEqual(first.bytes);
  });
});

it('a shard cache on a failing disk behaves as if it were empty, and reports the failure once', async () => {
  const folder = await temporaryFolder();
  // A folder cannot be created inside a file.
  const file = path.join(folder, 'in-the-way');
  await writeFile(file, '');
  const failures: string[] = [];
  const cache = new DiskShardCache(path.join(file, 'shards'), (message) => failures.push(message));
  await cache.write(sha256, records);
  await cache.write(sha256, records);
  expect(await read(cache, sha256)).toBeUndefined();
  expect(await cache.list()).toEqual([]);
  expect(failures).toEqual([expect.stringMatching(/^cannot use the shard cache .*in-the-way.shards \(ENOTDIR/)]);
});

it('noShardCache is always empty', async () => {
  await noShardCache.write(sha256, records);
  expect(await noShardCache.list()).toEqual([]);
  expect(await read(noShardCache, sha256)).toBeUndefined();
});

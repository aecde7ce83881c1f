import { mkdir, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { sha256Of } from '../../../shared/sha256.js';
import { DiskShardCache, noShardCache } from '../../../worker/shards/disk-shard-cache.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

const records = Buffer.from('images, as far as the cache is concerned');
const sha256 = sha256Of(records);

function fail(message: string): never {
  throw new Error(message);
}

async function newCache() {
  const directory = path.join(await temporaryFolder(), 'deep', 'shards');
  return { directory, file: path.join(directory, `${sha256}.bin`), cache: new DiskShardCache(directory, fail) };
}

describe('a shard cache on disk', () => {
  it('is empty before the first write, and does not need an existing folder', async () => {
    const { cache } = await newCache();
    expect(await cache.list()).toEqual([]);
    expect(await cache.read(sha256)).toBeUndefined();
  });

  it('keeps a shard under its hash, and no other files', async () => {
    const { directory, cache } = await newCache();
    await cache.write(sha256, records);
    expect(await readdir(directory)).toEqual([`${sha256}.bin`]);
    expect(await cache.list()).toEqual([sha256]);
    expect(await cache.read(sha256)).toEqual(records);
  });

  it('still has a shard after a restart', async () => {
    const { directory, cache } = await newCache();
    await cache.write(sha256, records);
    expect(await new DiskShardCache(directory, fail).read(sha256)).toEqual(records);
  });

  it('may be written by several workers at the same time', async () => {
    const { directory, cache } = await newCache();
    await Promise.all([1, 2, 3].map(() => cache.write(sha256, records)));
    expect(await readdir(directory)).toEqual([`${sha256}.bin`]);
    expect(await cache.read(sha256)).toEqual(records);
  });

  it.each([0, 17, records.length - 1])('deletes a shard with a flipped bit in byte %i', async (byte) => {
    const { directory, file, cache } = await newCache();
    await cache.write(sha256, records);
    const damaged = await readFile(file);
    damaged[byte] ^= 1;
    await writeFile(file, damaged);
    expect(await cache.read(sha256)).toBeUndefined();
    expect(await readdir(directory)).toEqual([]);
  });

  it('deletes a truncated shard', async () => {
    const { directory, file, cache } = await newCache();
    await cache.write(sha256, records);
    await writeFile(file, records.subarray(1));
    expect(await cache.read(sha256)).toBeUndefined();
    expect(await readdir(directory)).toEqual([]);
  });

  it('does not list partial and other files', async () => {
    const { directory, cache } = await newCache();
    await mkdir(directory, { recursive: true });
    for (const name of [`${sha256}.1234.partial`, `${sha256}.bin.bak`, `${sha256.slice(1)}.bin`, 'README']) {
      await writeFile(path.join(directory, name), records);
    }
    expect(await cache.list()).toEqual([]);
    expect(await cache.read(sha256)).toBeUndefined();
  });

  it.each(['', '../escape', `${sha256}/../x`, sha256.toUpperCase()])(
    'refuses to read or write a shard named %j',
    async (name) => {
      const { directory, cache } = await newCache();
      await expect(cache.read(name)).rejects.toThrow(RangeError);
      await expect(cache.write(name, records)).rejects.toThrow(RangeError);
      expect(await readdir(path.dirname(path.dirname(directory)))).toEqual([]);
    },
  );

  it('is empty after its folder was deleted', async () => {
    const { directory, cache } = await newCache();
    await cache.write(sha256, records);
    await rm(directory, { recursive: true });
    expect(await cache.list()).toEqual([]);
    expect(await cache.read(sha256)).toBeUndefined();
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
    expect(await cache.read(first.sha256)).toBeUndefined();
    expect(await cache.read(second.sha256)).toEqual(second.bytes);
    expect(await cache.read(third.sha256)).toEqual(third.bytes);
  });

  it('counts a read as a use', async () => {
    const { cache, shards } = await fullCache();
    const [first, second, third] = shards;
    await cache.read(first.sha256);
    await cache.write(third.sha256, third.bytes);
    expect(await cache.read(second.sha256)).toBeUndefined();
    expect(await cache.read(first.sha256)).toEqual(first.bytes);
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
  expect(await cache.read(sha256)).toBeUndefined();
  expect(await cache.list()).toEqual([]);
  expect(failures).toEqual([expect.stringMatching(/^cannot use the shard cache .*in-the-way.shards \(ENOTDIR/)]);
});

it('noShardCache is always empty', async () => {
  await noShardCache.write(sha256, records);
  expect(await noShardCache.list()).toEqual([]);
  expect(await noShardCache.read(sha256)).toBeUndefined();
});

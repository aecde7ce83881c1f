import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { sha256Of, ShardCache } from '../../../worker/shards/shard-cache.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

const records = Buffer.from('images, as far as the cache is concerned');
const sha256 = createHash('sha256').update(records).digest('hex');

async function newCache() {
  const directory = path.join(await temporaryFolder(), 'deep', 'shards');
  return { directory, file: path.join(directory, `${sha256}.bin`), cache: new ShardCache(directory) };
}

describe('a cache', () => {
  it('is empty before anything was written, without a folder', async () => {
    const { cache } = await newCache();
    expect(await cache.list()).toEqual([]);
    expect(await cache.read(sha256)).toBeUndefined();
  });

  it('keeps a shard under its hash, and nothing beside it', async () => {
    const { directory, cache } = await newCache();
    await cache.write(sha256, records);
    expect(await readdir(directory)).toEqual([`${sha256}.bin`]);
    expect(await cache.list()).toEqual([sha256]);
    expect(await cache.read(sha256)).toEqual(records);
  });

  it('outlives its worker', async () => {
    const { directory, cache } = await newCache();
    await cache.write(sha256, records);
    expect(await new ShardCache(directory).read(sha256)).toEqual(records);
  });

  it('may be written by several workers at once', async () => {
    const { directory, cache } = await newCache();
    await Promise.all([1, 2, 3].map(() => cache.write(sha256, records)));
    expect(await readdir(directory)).toEqual([`${sha256}.bin`]);
    expect(await cache.read(sha256)).toEqual(records);
  });

  it.each([0, 17, records.length - 1])('drops a shard with a flipped bit in byte %i', async (byte) => {
    const { directory, file, cache } = await newCache();
    await cache.write(sha256, records);
    const damaged = await readFile(file);
    damaged[byte] ^= 1;
    await writeFile(file, damaged);
    expect(await cache.read(sha256)).toBeUndefined();
    expect(await readdir(directory)).toEqual([]);
  });

  it('drops a shard that was cut off', async () => {
    const { directory, file, cache } = await newCache();
    await cache.write(sha256, records);
    await writeFile(file, records.subarray(1));
    expect(await cache.read(sha256)).toBeUndefined();
    expect(await readdir(directory)).toEqual([]);
  });

  it('does not list half-written and foreign files', async () => {
    const { directory, cache } = await newCache();
    await mkdir(directory, { recursive: true });
    for (const name of [`${sha256}.1234.partial`, `${sha256}.bin.bak`, `${sha256.slice(1)}.bin`, 'README']) {
      await writeFile(path.join(directory, name), records);
    }
    expect(await cache.list()).toEqual([]);
    expect(await cache.read(sha256)).toBeUndefined();
  });

  it.each(['', '../escape', `${sha256}/../x`, sha256.toUpperCase()])(
    'reads and writes nothing called %j',
    async (name) => {
      const { directory, cache } = await newCache();
      await expect(cache.read(name)).rejects.toThrow(RangeError);
      await expect(cache.write(name, records)).rejects.toThrow(RangeError);
      expect(await readdir(path.dirname(path.dirname(directory)))).toEqual([]);
    },
  );

  it('that went away is an empty one', async () => {
    const { directory, cache } = await newCache();
    await cache.write(sha256, records);
    await rm(directory, { recursive: true });
    expect(await cache.list()).toEqual([]);
    expect(await cache.read(sha256)).toBeUndefined();
  });
});

describe('a cache that is full', () => {
  /** Three shards of ten bytes each, of which two fit; the first was used an hour before the second. */
  async function fullCache() {
    const directory = await temporaryFolder();
    const cache = new ShardCache(directory, { limitBytes: 20 });
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

  it('drops the shard used longest ago when another comes', async () => {
    const { cache, shards } = await fullCache();
    const [first, second, third] = shards;
    await cache.write(third.sha256, third.bytes);
    expect(await cache.read(first.sha256)).toBeUndefined();
    expect(await cache.read(second.sha256)).toEqual(second.bytes);
    expect(await cache.read(third.sha256)).toEqual(third.bytes);
  });

  it('takes reading for use', async () => {
    const { cache, shards } = await fullCache();
    const [first, second, third] = shards;
    await cache.read(first.sha256);
    await cache.write(third.sha256, third.bytes);
    expect(await cache.read(second.sha256)).toBeUndefined();
    expect(await cache.read(first.sha256)).toEqual(first.bytes);
  });
});

it('on a disk that fails is an empty one, and says so once', async () => {
  const folder = await temporaryFolder();
  // No folder can be made inside a file.
  const file = path.join(folder, 'in-the-way');
  await writeFile(file, '');
  const troubles: string[] = [];
  const cache = new ShardCache(path.join(file, 'shards'), { onTrouble: (message) => troubles.push(message) });
  await cache.write(sha256, records);
  await cache.write(sha256, records);
  expect(await cache.read(sha256)).toBeUndefined();
  expect(await cache.list()).toEqual([]);
  expect(troubles).toEqual([expect.stringMatching(/in-the-way.shards cannot be used \(ENOTDIR/)]);
});

it('no folder is no cache', async () => {
  const cache = new ShardCache(null);
  await cache.write(sha256, records);
  expect(await cache.list()).toEqual([]);
  expect(await cache.read(sha256)).toBeUndefined();
});

it('sha256Of is the SHA-256 in hex', () => {
  // The hash of no bytes, from FIPS 180-4's examples.
  expect(sha256Of(new Uint8Array())).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
});

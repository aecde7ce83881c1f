import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { recordFormat } from '../../../shared/dataset/record-format.js';
import type { Shard } from '../../../shared/protocol/messages.js';
import { sha256Of } from '../../../shared/sha256.js';
import { DiskShardCache } from '../../../worker/shards/disk-shard-cache.js';
import { RunShards } from '../../../worker/shards/run-shards.js';
import { noShardCache, type ShardCache } from '../../../worker/shards/shard-cache.js';
import { readAll } from '../../../worker/shards/shard-records.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

/** Two bytes per record: a label and a pixel. */
const format = recordFormat({ height: 1, width: 1, channels: 1, classCount: 10 });

/** Returns a shard of five records. Record i has the label i and the pixel 10 i + `tens`. */
function shardOf(index: number) {
  const bytes = Uint8Array.from([0, 1, 2, 3, 4].flatMap((label) => [label, 10 * label + index]));
  const shard: Shard = { split: 'training', index, sha256: sha256Of(bytes), bytes: bytes.length };
  return { bytes, shard };
}

async function newCache() {
  const directory = await temporaryFolder();
  const cache = new DiskShardCache(directory, (message) => {
    throw new Error(message);
  });
  return { directory, cache };
}

async function download(held: RunShards, { bytes, shard }: ReturnType<typeof shardOf>) {
  const arriving = await held.downloadOf(shard);
  arriving.append(bytes.subarray(0, 3));
  arriving.append(bytes.subarray(3));
  return { kind: arriving.kind, records: await held.complete(shard, format) };
}

const [first, second] = [shardOf(1), shardOf(2)];

describe('shards of ten bytes with memory for fifteen', () => {
  async function withBoth(cache: ShardCache) {
    const held = new RunShards(cache, 15);
    return { held, one: await download(held, first), two: await download(held, second) };
  }

  it('are in memory as long as they fit, then in files of the cache', async () => {
    const { cache } = await newCache();
    const { held, one, two } = await withBoth(cache);
    expect([one.kind, two.kind]).toEqual(['memory', 'file']);
    expect((await readAll(one.records)).records).toEqual(first.bytes);
    expect((await readAll(two.records)).records).toEqual(second.bytes);
    expect((await cache.list()).toSorted()).toEqual([first.shard.sha256, second.shard.sha256].toSorted());
    held.close();
  });

  it('give the same records for the same indices, and those from a file alone in their buffer', async () => {
    const { held, one, two } = await withBoth((await newCache()).cache);
    const indices = Uint32Array.of(4, 1, 2, 0);
    const inMemory = await one.records.read(indices);
    expect(inMemory.records).toHaveLength(10);
    expect(inMemory.indices).toBe(indices);
    // The pixel of record i of the second shard is 10 i + 2.
    expect(await two.records.read(indices)).toEqual({
      records: Uint8Array.of(4, 42, 1, 12, 2, 22, 0, 2),
      indices: Uint32Array.of(0, 1, 2, 3),
    });
    held.close();
  });

  it('are opened from the cache in the same way', async () => {
    const { cache } = await newCache();
    (await withBoth(cache)).held.close();
    const held = new RunShards(cache, 15);
    for (const { shard, bytes } of [second, first]) {
      const records = (await held.openCached(shard, format))!;
      expect((await readAll(records)).records).toEqual(bytes);
    }
    expect((await readAll(held.get(first.shard.sha256)!)).records).toEqual(first.bytes);
    held.close();
  });

  it.each([0, 15])('are deleted from the cache if a bit is flipped, with memory for %i bytes', async (memoryBytes) => {
    const { directory, cache } = await newCache();
    await cache.write(first.shard.sha256, first.bytes);
    const file = path.join(directory, `${first.shard.sha256}.bin`);
    const damaged = await readFile(file);
    damaged[7] ^= 1;
    await writeFile(file, damaged);
    expect(await new RunShards(cache, memoryBytes).openCached(first.shard, format)).toBeUndefined();
    expect(await readdir(directory)).toEqual([]);
  });
});

describe('a download to a file', () => {
  it('resumes where it stopped', async () => {
    const held = new RunShards((await newCache()).cache, 0);
    (await held.downloadOf(first.shard)).append(first.bytes.subarray(0, 7));
    const resumed = await held.downloadOf(first.shard);
    expect(resumed.received).toBe(7);
    resumed.append(first.bytes.subarray(7));
    expect((await readAll(await held.complete(first.shard, format))).records).toEqual(first.bytes);
    held.close();
  });

  it.each([
    ['its data does not match its hash', Uint8Array.of(9, 9, 9, 9, 9, 9, 9, 9, 9, 9), first.shard],
    [
      'a label is not a class',
      Uint8Array.of(0, 0, 10, 0),
      { ...first.shard, bytes: 4, sha256: sha256Of(Uint8Array.of(0, 0, 10, 0)) },
    ],
  ])('is deleted if %s', async (_, bytes, shard) => {
    const { directory, cache } = await newCache();
    const held = new RunShards(cache, 0);
    (await held.downloadOf(shard)).append(bytes);
    await expect(held.complete(shard, format)).rejects.toMatchObject({ name: 'ProtocolError' });
    expect(await readdir(directory)).toEqual([]);
  });

  it('is deleted if it is incomplete when the worker ends', async () => {
    const { directory, cache } = await newCache();
    const held = new RunShards(cache, 0);
    (await held.downloadOf(first.shard)).append(first.bytes.subarray(0, 7));
    held.close();
    expect(await readdir(directory)).toEqual([]);
  });
});

describe('without a cache', () => {
  it('shards are in memory up to a higher limit, and a shard beyond it is an error', async () => {
    const held = new RunShards(noShardCache, 5, 15);
    expect((await download(held, first)).kind).toBe('memory');
    await expect(held.downloadOf(second.shard)).rejects.toMatchObject({
      code: 'save-failed',
      message:
        'cannot store a shard of 1 MiB: without a cache, this worker keeps at most 1 MiB of shards in memory. Give it ' +
        'storage: a writable folder as `cache`, or, in a browser, free disk space',
    });
  });

  it('shards of an earlier run make room', async () => {
    const held = new RunShards(noShardCache, 5, 15);
    await download(held, first);
    held.startRun([second.shard]);
    expect((await download(held, second)).kind).toBe('memory');
    expect(await held.list()).toEqual([second.shard.sha256]);
  });
});

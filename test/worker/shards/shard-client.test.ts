import { describe, expect, it, vi } from 'vitest';
import { recordFormat } from '../../../shared/dataset/record-format.js';
import { chunkBytes, type Shard, type WorkerMessage } from '../../../shared/protocol/messages.js';
import { sha256Of } from '../../../shared/sha256.js';
import { DiskShardCache } from '../../../worker/shards/disk-shard-cache.js';
import { RunShards } from '../../../worker/shards/run-shards.js';
import { noShardCache, type ShardCache } from '../../../worker/shards/shard-cache.js';
import { ShardClient } from '../../../worker/shards/shard-client.js';
import { readAll, type ShardRecords } from '../../../worker/shards/shard-records.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

/** Two bytes per record: a label and a pixel. */
const format = recordFormat({ height: 1, width: 1, channels: 1, classCount: 10 });
const { recordBytes } = format;

const records = Uint8Array.from({ length: 10 }, (_, index) => index);
const sha256 = sha256Of(records);
const shard: Shard = { split: 'training', index: 2, sha256, bytes: records.length };
const notRequested = expect.objectContaining({
  name: 'ProtocolError',
  message: expect.stringContaining('not requested'),
});
const requestOf = (hash: string, offset: number, bytes: number) => [
  { type: 'shard-request', sha256: hash, offset, bytes },
];
const heldMessage = [{ type: 'shard-held', sha256 }];

async function newDiskCache(): Promise<DiskShardCache> {
  return new DiskShardCache(await temporaryFolder(), (message) => {
    throw new Error(message);
  });
}

async function bytesOf(arriving: Promise<ShardRecords>): Promise<Uint8Array> {
  return (await readAll(await arriving)).records;
}

function newClient(disk: ShardCache = noShardCache, held = new RunShards(disk), shards: readonly Shard[] = [shard]) {
  const send = vi.fn<(message: WorkerMessage) => void>();
  return { send, client: new ShardClient(shards, format, held, send) };
}

async function firstRequest(send: ReturnType<typeof newClient>['send']): Promise<void> {
  await vi.waitUntil(() => send.mock.calls.length > 0, { interval: 1, timeout: 300_000 });
}

/** Starts fetching the shard and waits until it is requested from the coordinator. */
async function begin(disk?: ShardCache, held?: RunShards) {
  const { send, client } = newClient(disk, held);
  const arriving = client.recordsOf('training', 2);
  await firstRequest(send);
  return { send, client, arriving };
}

describe('a shard', () => {
  it('is requested once, from the beginning, and assembled from its chunks', async () => {
    const { send, client, arriving } = await begin();
    const again = client.recordsOf('training', 2);
    client.receive(sha256, 0, records.subarray(0, 4));
    client.receive(sha256, 4, records.subarray(4, 9));
    client.receive(sha256, 9, records.subarray(9));
    expect(await bytesOf(arriving)).toEqual(records);
    expect(await again).toBe(await arriving);
    expect(await client.recordsOf('training', 2)).toBe(await arriving);
    expect(send.mock.calls).toEqual([requestOf(sha256, 0, 10), heldMessage]);
  });

  it('is written to the disk cache, and the next connection requests nothing', async () => {
    const disk = await newDiskCache();
    const { client, arriving } = await begin(disk);
    client.receive(sha256, 0, records);
    await arriving;
    expect(await disk.list()).toEqual([sha256]);
    const next = newClient(disk);
    expect(await bytesOf(next.client.recordsOf('training', 2))).toEqual(records);
    expect(next.send.mock.calls).toEqual([heldMessage]);
  });

  it('is requested when its cached file is damaged', async () => {
    const disk = await newDiskCache();
    await disk.write(sha256, records.subarray(1));
    const { send, client, arriving } = await begin(disk);
    expect(send.mock.calls).toEqual([requestOf(sha256, 0, 10)]);
    client.receive(sha256, 0, records);
    expect(await bytesOf(arriving)).toEqual(records);
  });

  it.each([
    ['training', 3],
    ['test', 2],
  ] as const)('that the welcome does not list (%s %i) is refused', async (split, index) => {
    const { send, client } = newClient();
    await expect(client.recordsOf(split, index)).rejects.toMatchObject({
      name: 'ProtocolError',
      message: `${split} shard ${index} is not in the welcome`,
    });
    expect(send).not.toHaveBeenCalled();
  });
});

describe('unexpected bytes are refused', () => {
  it('if they belong to a shard that was not requested', () => {
    const { client } = newClient();
    expect(() => client.receive(sha256, 0, records)).toThrow(notRequested);
  });

  it.each([
    ['leave a gap', 5],
    ['have already arrived', 3],
  ])('if they %s', async (_, offset) => {
    const { client, arriving } = await begin();
    client.receive(sha256, 0, records.subarray(0, 4));
    expect(() => client.receive(sha256, offset, records.subarray(offset, offset + 2))).toThrow(notRequested);
    // The transfer continues unaffected.
    client.receive(sha256, 4, records.subarray(4));
    expect(await bytesOf(arriving)).toEqual(records);
  });

  it('if they are beyond the end', async () => {
    const { client, arriving } = await begin();
    expect(() => client.receive(sha256, 0, Buffer.concat([records, records]))).toThrow(notRequested);
    client.receive(sha256, 0, records);
    await arriving;
    expect(() => client.receive(sha256, 10, records.subarray(0, 1))).toThrow(notRequested);
  });
});

describe('an invalid shard is refused, and not cached,', () => {
  it('when its data does not match its hash', async () => {
    const disk = await newDiskCache();
    const { client, arriving } = await begin(disk);
    client.receive(sha256, 0, Buffer.from('ten others'));
    await expect(arriving).rejects.toMatchObject({
      name: 'ProtocolError',
      message: `the data of shard ${sha256} does not match its hash`,
    });
    expect(await disk.list()).toEqual([]);
  });

  it('when a label is not a class', async () => {
    const images = new Uint8Array(2 * recordBytes);
    images[recordBytes] = 10;
    const listed: Shard = { split: 'test', index: 1, sha256: sha256Of(images), bytes: images.length };
    const held = new RunShards(noShardCache);
    const { send, client } = newClient(noShardCache, held, [listed]);
    const arriving = client.recordsOf('test', 1);
    await firstRequest(send);
    client.receive(listed.sha256, 0, images);
    await expect(arriving).rejects.toMatchObject({
      name: 'ProtocolError',
      message: 'image 1 of test shard 1 has the invalid label 10',
    });
    expect(await held.list()).toEqual([]);
  });
});

describe('when the connection closes', () => {
  const closed = { name: 'ProtocolError', message: 'the connection closed before the shard arrived' };

  it('a shard in transfer is rejected', async () => {
    const { client, arriving } = await begin();
    client.receive(sha256, 0, records.subarray(0, 4));
    await Promise.all([client.abandon(), expect(arriving).rejects.toMatchObject(closed)]);
  });

  it('a shard that is still being looked up in the disk cache is rejected', async () => {
    const { send, client } = newClient(await newDiskCache());
    const arriving = client.recordsOf('training', 2);
    await Promise.all([client.abandon(), expect(arriving).rejects.toMatchObject(closed)]);
    expect(send).not.toHaveBeenCalled();
  });

  it('later requests are rejected too', async () => {
    const { send, client } = newClient();
    await client.abandon();
    await expect(client.recordsOf('training', 2)).rejects.toMatchObject(closed);
    expect(send).not.toHaveBeenCalled();
  });
});

describe('a shard in memory', () => {
  it('is not requested again over another connection', async () => {
    const held = new RunShards(noShardCache);
    const first = await begin(undefined, held);
    first.client.receive(sha256, 0, records);
    await first.arriving;
    const second = newClient(undefined, held);
    expect(await bytesOf(second.client.recordsOf('training', 2))).toEqual(records);
    expect(second.send).not.toHaveBeenCalled();
  });

  it('is dropped if it does not belong to the run', async () => {
    const held = new RunShards(noShardCache);
    const { client, arriving } = await begin(undefined, held);
    client.receive(sha256, 0, records);
    await arriving;
    newClient(undefined, held, [{ ...shard, sha256: 'a'.repeat(64) }]);
    expect(await held.list()).toEqual([]);
  });

  it('resumes where its transfer was interrupted', async () => {
    const held = new RunShards(noShardCache);
    const interrupted = await begin(undefined, held);
    interrupted.client.receive(sha256, 0, records.subarray(0, 4));
    await Promise.all([interrupted.client.abandon(), expect(interrupted.arriving).rejects.toThrow('closed before')]);
    const next = await begin(undefined, held);
    expect(next.send.mock.calls).toEqual([requestOf(sha256, 4, 6)]);
    next.client.receive(sha256, 4, records.subarray(4));
    expect(await bytesOf(next.arriving)).toEqual(records);
  });
});

describe('a prefetched shard', () => {
  const size = 2 * chunkBytes + 100;
  const large = new Uint8Array(size).fill(7);
  const largeSha256 = sha256Of(large);

  async function prefetching() {
    const listed: Shard = { split: 'training', index: 0, sha256: largeSha256, bytes: size };
    const { send, client } = newClient(undefined, undefined, [listed]);
    const done = client.prefetch(largeSha256);
    await firstRequest(send);
    const receive = (from: number, to: number) => client.receive(largeSha256, from, large.subarray(from, to));
    return { send, client, done, receive };
  }

  it('is requested one chunk at a time', async () => {
    const { send, done, receive } = await prefetching();
    const requests = [
      requestOf(largeSha256, 0, chunkBytes),
      requestOf(largeSha256, chunkBytes, chunkBytes),
      requestOf(largeSha256, 2 * chunkBytes, 100),
    ];
    receive(0, chunkBytes);
    receive(chunkBytes, 2 * chunkBytes);
    expect(send.mock.calls).toEqual(requests);
    receive(2 * chunkBytes, size);
    await done;
    expect(send.mock.calls).toEqual([...requests, [{ type: 'shard-held', sha256: largeSha256 }]]);
  });

  it('is requested up to its end as soon as it is needed', async () => {
    const { send, client, done, receive } = await prefetching();
    const needed = client.recordsOf('training', 0);
    // The first chunk has already been requested; a second request covers the rest.
    const requests = [requestOf(largeSha256, 0, chunkBytes), requestOf(largeSha256, chunkBytes, chunkBytes + 100)];
    expect(send.mock.calls).toEqual(requests);
    receive(0, chunkBytes);
    receive(chunkBytes, size);
    await done;
    expect(sha256Of(await bytesOf(needed))).toBe(largeSha256);
    expect(send.mock.calls.slice(0, -1)).toEqual(requests);
  });

  it('is reported immediately if it is already in memory', async () => {
    const held = new RunShards(noShardCache);
    const first = await begin(undefined, held);
    first.client.receive(sha256, 0, records);
    await first.arriving;
    const { send, client } = newClient(undefined, held);
    await client.prefetch(sha256);
    expect(send.mock.calls).toEqual([heldMessage]);
  });

  it('is refused if the welcome does not list it', async () => {
    await expect(newClient().client.prefetch('f'.repeat(64))).rejects.toMatchObject({ name: 'ProtocolError' });
  });
});

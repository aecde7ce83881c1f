import { createHash } from 'node:crypto';
import { describe, expect, it, vi } from 'vitest';
import { prefetchChunkBytes, type Piece } from '../../../shared/protocol/messages.js';
import { PieceShelf } from '../../../worker/shards/shard-memory-cache.js';
import { WorkerPieces } from '../../../worker/shards/shard-client.js';
import { sha256Of, ShardCache } from '../../../worker/shards/shard-cache.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

const records = Buffer.from('ten bytes!');
const sha256 = createHash('sha256').update(records).digest('hex');
const piece: Piece = { split: 'training', index: 2, sha256, bytes: records.length };
const notAskedFor = expect.objectContaining({
  name: 'ProtocolError',
  message: expect.stringContaining('not asked for'),
});

function newPieces(cache = new ShardCache(null), shelf = new PieceShelf()) {
  const request = vi.fn<(sha256: string, offset: number, bytes: number) => void>();
  const held = vi.fn<(sha256: string) => void>();
  return { request, held, pieces: new WorkerPieces([piece], shelf, cache, { request, held }) };
}

/** Asks for the piece and waits until the coordinator has been asked. */
async function begin(cache?: ShardCache, shelf?: PieceShelf) {
  const { request, held, pieces } = newPieces(cache, shelf);
  const arriving = pieces.recordsOf('training', 2);
  await vi.waitUntil(() => request.mock.calls.length > 0, { interval: 1, timeout: 300_000 });
  return { request, held, pieces, arriving };
}

describe('a piece', () => {
  it('is asked for once, from its beginning, and put together from its chunks', async () => {
    const { request, held, pieces, arriving } = await begin();
    const again = pieces.recordsOf('training', 2);
    pieces.receive(sha256, 0, records.subarray(0, 4));
    pieces.receive(sha256, 4, records.subarray(4, 9));
    pieces.receive(sha256, 9, records.subarray(9));
    expect(await arriving).toEqual(new Uint8Array(records));
    expect(await again).toBe(await arriving);
    expect(await pieces.recordsOf('training', 2)).toBe(await arriving);
    expect(request.mock.calls).toEqual([[sha256, 0, 10]]);
    expect(held.mock.calls).toEqual([[sha256]]);
  });

  it('that came is kept in the cache, and the next session asks for nothing', async () => {
    const cache = new ShardCache(await temporaryFolder());
    const { pieces, arriving } = await begin(cache);
    pieces.receive(sha256, 0, records);
    await arriving;
    expect(await cache.read(sha256)).toEqual(records);
    const next = newPieces(cache);
    expect(await next.pieces.recordsOf('training', 2)).toEqual(records);
    expect(next.request).not.toHaveBeenCalled();
  });

  it('whose cached file is damaged is asked for', async () => {
    const cache = new ShardCache(await temporaryFolder());
    await cache.write(sha256, records.subarray(1));
    const { request, pieces, arriving } = await begin(cache);
    expect(request.mock.calls).toEqual([[sha256, 0, 10]]);
    pieces.receive(sha256, 0, records);
    expect(await arriving).toEqual(new Uint8Array(records));
  });

  it.each([
    ['training', 3],
    ['test', 2],
  ] as const)('that was not announced (%s %i) is refused', async (split, index) => {
    const { request, pieces } = newPieces();
    await expect(pieces.recordsOf(split, index)).rejects.toMatchObject({
      name: 'ProtocolError',
      message: `asked about ${split} piece ${index}, which was not announced`,
    });
    expect(request).not.toHaveBeenCalled();
  });
});

describe('bytes that were not asked for', () => {
  it('are those of a piece that nobody needs', () => {
    const { pieces } = newPieces();
    expect(() => pieces.receive(sha256, 0, records)).toThrow(notAskedFor);
  });

  it.each([
    ['that leave a gap', 5],
    ['that came already', 3],
  ])('are those %s', async (_, offset) => {
    const { pieces, arriving } = await begin();
    pieces.receive(sha256, 0, records.subarray(0, 4));
    expect(() => pieces.receive(sha256, offset, records.subarray(offset, offset + 2))).toThrow(notAskedFor);
    // What was right before goes on.
    pieces.receive(sha256, 4, records.subarray(4));
    expect(await arriving).toEqual(new Uint8Array(records));
  });

  it('are those beyond the end', async () => {
    const { pieces, arriving } = await begin();
    expect(() => pieces.receive(sha256, 0, Buffer.concat([records, records]))).toThrow(notAskedFor);
    pieces.receive(sha256, 0, records);
    await arriving;
    expect(() => pieces.receive(sha256, 10, records.subarray(0, 1))).toThrow(notAskedFor);
  });
});

describe('a piece with other bytes than its hash says', () => {
  it('is refused and not cached', async () => {
    const cache = new ShardCache(await temporaryFolder());
    const { pieces, arriving } = await begin(cache);
    pieces.receive(sha256, 0, Buffer.from('ten others'));
    await expect(arriving).rejects.toMatchObject({
      name: 'ProtocolError',
      message: `piece ${sha256} came with other bytes than its hash says`,
    });
    expect(await cache.list()).toEqual([]);
  });
});

describe('when the connection is gone', () => {
  const closed = { name: 'ProtocolError', message: 'the connection closed before the piece was here' };

  it('a piece on the way rejects', async () => {
    const { pieces, arriving } = await begin();
    pieces.receive(sha256, 0, records.subarray(0, 4));
    pieces.abandon();
    await expect(arriving).rejects.toMatchObject(closed);
  });

  it('a piece still looked for in the cache rejects: nobody would answer', async () => {
    const { request, pieces } = newPieces(new ShardCache(await temporaryFolder()));
    const arriving = pieces.recordsOf('training', 2);
    pieces.abandon();
    await expect(arriving).rejects.toMatchObject(closed);
    expect(request).not.toHaveBeenCalled();
  });

  it('a piece asked about later rejects too', async () => {
    const { request, pieces } = newPieces();
    pieces.abandon();
    await expect(pieces.recordsOf('training', 2)).rejects.toMatchObject(closed);
    expect(request).not.toHaveBeenCalled();
  });
});

describe('a piece on the shelf', () => {
  it('is neither asked for nor looked up, also over another connection', async () => {
    const shelf = new PieceShelf();
    const first = await begin(undefined, shelf);
    first.pieces.receive(sha256, 0, records);
    await first.arriving;
    const second = newPieces(undefined, shelf);
    expect(await second.pieces.recordsOf('training', 2)).toEqual(new Uint8Array(records));
    expect(second.request).not.toHaveBeenCalled();
  });

  it('is one of this run: those of others are given up', () => {
    const shelf = new PieceShelf();
    shelf.put('of another run', records);
    newPieces(undefined, shelf);
    expect(shelf.hashes).toEqual([]);
  });

  it('goes on where its transfer was cut', async () => {
    const shelf = new PieceShelf();
    const cut = await begin(undefined, shelf);
    cut.pieces.receive(sha256, 0, records.subarray(0, 4));
    cut.pieces.abandon();
    await expect(cut.arriving).rejects.toThrow('closed before');
    const next = await begin(undefined, shelf);
    expect(next.request.mock.calls).toEqual([[sha256, 4, 6]]);
    next.pieces.receive(sha256, 4, records.subarray(4));
    expect(await next.arriving).toEqual(new Uint8Array(records));
  });
});

describe('a piece that is fetched beforehand', () => {
  const size = 2 * prefetchChunkBytes + 100;
  const large = Buffer.alloc(size, 'shard');
  const largeSha256 = createHash('sha256').update(large).digest('hex');

  async function prefetching() {
    const request = vi.fn<(sha256: string, offset: number, bytes: number) => void>();
    const held = vi.fn<(sha256: string) => void>();
    const announced: Piece = { split: 'training', index: 0, sha256: largeSha256, bytes: size };
    const pieces = new WorkerPieces([announced], new PieceShelf(), new ShardCache(null), { request, held });
    const done = pieces.prefetch(largeSha256);
    await vi.waitUntil(() => request.mock.calls.length > 0, { interval: 1, timeout: 300_000 });
    const receive = (from: number, to: number) => pieces.receive(largeSha256, from, large.subarray(from, to));
    return { request, held, pieces, done, receive };
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
    const { request, pieces, done, receive } = await prefetching();
    const needed = pieces.recordsOf('training', 0);
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
    const shelf = new PieceShelf();
    shelf.put(sha256, records);
    const { request, held, pieces } = newPieces(undefined, shelf);
    await pieces.prefetch(sha256);
    expect(request).not.toHaveBeenCalled();
    expect(held.mock.calls).toEqual([[sha256]]);
  });

  it('is refused where it was not announced', async () => {
    await expect(newPieces().pieces.prefetch('f'.repeat(64))).rejects.toMatchObject({ name: 'ProtocolError' });
  });
});

import { expect, it } from 'vitest';
import { ShardSender } from '../../../coordinator/connections/shard-sender.js';
import { GatheredRecords, type RecordsFile } from '../../../shared/dataset/records.js';
import { decodeFrame } from '../../../shared/protocol/frame.js';
import { chunkBytes } from '../../../shared/protocol/messages.js';

const sha256 = 'a'.repeat(64);
/** The chunks of 262,144 bytes end inside of records. 1,200,000 bytes take five of them. */
const recordBytes = 300_000;
const bytes = Uint8Array.from({ length: 4 * recordBytes }, (_, i) => i % 251);
const file: RecordsFile = {
  length: bytes.length,
  read(target, position) {
    target.set(bytes.subarray(position, position + target.length));
    return Promise.resolve();
  },
};

it('sends records of a file in chunks, each after the previous one has been sent', async () => {
  const order = Uint32Array.of(2, 0, 3, 1);
  const expected = Buffer.concat(Array.from(order, (i) => bytes.subarray(i * recordBytes, (i + 1) * recordBytes)));
  const received: Uint8Array[] = [];
  const offsets: unknown[] = [];
  await new Promise<void>((resolve, reject) => {
    const sender = new ShardSender(new Map([[sha256, new GatheredRecords(file, order, recordBytes)]]), [], {
      send(frame, onSent) {
        const { header, payload } = decodeFrame(frame);
        offsets.push((header as { offset: number }).offset);
        received.push(payload);
        onSent();
        if (received.length === 5) resolve();
      },
      failed: (message) => reject(new Error(message)),
    });
    sender.request(sha256, 0, bytes.length);
  });
  expect(offsets).toEqual([0, 1, 2, 3, 4].map((chunk) => chunk * chunkBytes));
  expect(Buffer.concat(received).equals(expected)).toBe(true);
});

it('reports records that cannot be read', async () => {
  const broken: RecordsFile = { length: 10, read: () => Promise.reject(new Error('the disk is gone')) };
  const message = await new Promise((resolve, reject) => {
    const sender = new ShardSender(new Map([[sha256, broken]]), [], {
      send: () => reject(new Error('nothing can be sent')),
      failed: resolve,
    });
    sender.request(sha256, 0, 10);
  });
  expect(message).toBe('the disk is gone');
});

import { rmSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { EventFile, frameRecord } from '../../../../coordinator/monitoring/tensorboard/event-file.js';
import { temporaryFolder } from '../../../support/temporary-folder.js';

const fail = (error: Error) => {
  throw error;
};

it('a record is framed as in TensorFlow 2.21', () => {
  expect(frameRecord(Buffer.from('hello')).toString('hex')).toBe('0500000000000000eab2043e68656c6c6fbb1f1c19');
});

it('a file holds the version, the session start and the added events, each framed', async () => {
  const folder = path.join(await temporaryFolder(), 'train');
  const file = new EventFile(folder, 1, fail);
  file.add(1, [{ tag: 'loss', scalar: 0.5 }]);
  await file.close();
  const [name] = await readdir(folder);
  const bytes = await readFile(path.join(folder, name));
  const lengths: number[] = [];
  for (let offset = 0; offset < bytes.length; offset += 16 + lengths.at(-1)!) {
    lengths.push(Number(bytes.readBigUInt64LE(offset)));
    const record = bytes.subarray(offset + 12, offset + 12 + lengths.at(-1)!);
    expect(bytes.subarray(offset, offset + 16 + record.length)).toEqual(frameRecord(record));
  }
  // Every event has a time of 9 bytes, including its key. The file version adds 15 bytes. The other two events add a
  // step of 2 bytes, followed by 4 bytes in the session start, and in the scalar event by 2 + 2 bytes for the keys and
  // lengths of the summary and its value, and 11 bytes for the tag and the scalar.
  expect(lengths).toEqual([24, 9 + 2 + 4, 9 + 2 + 2 + 2 + 11]);
});

it('a new file sorts after existing ones, even if the clock was set back', async () => {
  const folder = await temporaryFolder();
  const future = Math.floor(Date.now() / 1000) + 1000;
  await writeFile(path.join(folder, `events.out.tfevents.${future}.elsewhere`), '');
  await new EventFile(folder, 1, fail).close();
  expect((await readdir(folder)).toSorted()).toEqual([
    `events.out.tfevents.${future}.elsewhere`,
    `events.out.tfevents.${future + 1}.${hostname()}`,
  ]);
});

it('a folder that cannot be created is an error at once', async () => {
  const file = path.join(await temporaryFolder(), 'file');
  await writeFile(file, '');
  expect(() => new EventFile(path.join(file, 'train'), 1, fail)).toThrow('ENOTDIR');
});

it('a file that cannot be written is reported once, and later events are dropped', async () => {
  const folder = path.join(await temporaryFolder(), 'train');
  const errors: string[] = [];
  const file = new EventFile(folder, 1, ({ message }) => errors.push(message));
  // The file is opened asynchronously, after its folder is removed.
  rmSync(folder, { recursive: true });
  for (let step = 1; step < 4; step++) {
    file.add(step, [{ tag: 'loss', scalar: 0.5 }]);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await file.close();
  file.add(4, [{ tag: 'loss', scalar: 0.5 }]);
  expect(errors).toEqual([expect.stringContaining('ENOENT')]);
});

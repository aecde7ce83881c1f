import { readFile, rm, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, it, vi } from 'vitest';
import { JsonLinesFile } from '../../../coordinator/run/json-lines-file.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

it('lines are appended in order, after the complete lines in the file', async () => {
  const file = path.join(await temporaryFolder(), 'log');
  await writeFile(file, 'old\nhalf a li');
  const log = new JsonLinesFile(file, 4, () => expect.unreachable());
  const lines = Array.from({ length: 500 }, (_, i) => `line ${i} ä`);
  for (const [i, line] of lines.entries()) {
    log.add(line);
    if (i % 50 === 0) await log.flush();
  }
  await log.close();
  expect(await readFile(file, 'utf8')).toBe(['old', ...lines, ''].join('\n'));
});

it('flush resolves when all lines added so far are written', async () => {
  const file = path.join(await temporaryFolder(), 'log');
  await writeFile(file, '');
  const log = new JsonLinesFile(file, 0, () => expect.unreachable());
  await log.flush();
  log.add('one');
  log.add('two');
  await log.flush();
  expect(await readFile(file, 'utf8')).toBe('one\ntwo\n');
  await log.close();
});

// Writes to /dev/full fail as on a full disk.
it('on a full disk, the error is reported once, and lines are kept and written when there is space again', async () => {
  const folder = await temporaryFolder();
  const [link, file] = [path.join(folder, 'log'), path.join(folder, 'file')];
  await writeFile(file, '');
  await symlink('/dev/full', link);
  const onError = vi.fn<(error: unknown) => void>();
  const log = new JsonLinesFile(link, 0, onError);
  for (const line of ['one', 'two', 'three']) {
    log.add(line);
    await log.flush();
  }
  expect(onError.mock.calls).toEqual([[expect.objectContaining({ code: 'ENOSPC' })]]);
  await rm(link);
  await symlink(file, link);
  log.add('four');
  await log.close();
  expect(await readFile(file, 'utf8')).toBe('one\ntwo\nthree\nfour\n');
});

it('closing fails if lines could not be written', async () => {
  const log = new JsonLinesFile('/dev/full', 0, () => undefined);
  log.add('one');
  await expect(log.close()).rejects.toMatchObject({ code: 'ENOSPC' });
});

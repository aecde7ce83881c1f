// Folders that even root cannot write to.
import type * as fs from 'node:fs/promises';
import { readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { checkFolder } from '../../../../cli/machine/doctor/disk.js';
import { temporaryFolder } from '../../../support/temporary-folder.js';

/** Whether to redirect files to /dev/full, where writes fail as on a full disk. */
let isDiskFull = false;
vi.mock('node:fs/promises', async (importOriginal) => {
  const real = await importOriginal<typeof fs>();
  const open: typeof fs.open = (file, ...rest) => (isDiskFull ? real.open('/dev/full', 'w') : real.open(file, ...rest));
  return { ...real, open };
});
afterEach(() => {
  isDiskFull = false;
});

const options = { about: 'runs', chosenBy: '--run-dir', markIfReadOnly: 'problem', minFreeBytes: 0 } as const;

it('checkFolder reports the free space of a folder that may not exist, and leaves no file', async () => {
  const folder = await temporaryFolder();
  const existing = await checkFolder({ ...options, folder });
  expect(existing).toEqual({ about: 'runs', mark: 'ok', says: expect.stringMatching(/: [\d.]+ GiB free$/) });
  const missing = path.join(folder, 'a', 'b');
  expect((await checkFolder({ ...options, folder: missing })).says).toContain(`${missing}: `);
  expect(readdirSync(folder)).toEqual([]);
});

it('checkFolder warns about too little free space', async () => {
  const check = await checkFolder({ ...options, folder: await temporaryFolder(), minFreeBytes: 2 ** 70 });
  expect(check.mark).toBe('warning');
  expect(check.remedy).toMatch(/^free up \d+ GiB, or choose another folder with --run-dir$/);
});

it('checkFolder detects a full disk by writing', async () => {
  const folder = await temporaryFolder();
  isDiskFull = true;
  expect(await checkFolder({ ...options, folder })).toEqual({
    about: 'runs',
    mark: 'problem',
    says: `${folder}: the disk is full`,
    remedy: 'choose another folder with --run-dir',
  });
});

it('checkFolder detects a path through a file', async () => {
  const file = path.join(await temporaryFolder(), 'file');
  writeFileSync(file, '');
  const check = await checkFolder({ ...options, markIfReadOnly: 'warning', folder: path.join(file, 'runs') });
  expect([check.mark, check.says]).toEqual(['warning', `${file}/runs: part of this path is a file, not a folder`]);
});

it.runIf(process.platform === 'linux')('checkFolder detects a folder in which no file can be created', async () => {
  expect((await checkFolder({ ...options, folder: '/proc/lockstep' })).mark).toBe('problem');
});

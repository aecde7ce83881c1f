// Folders that cannot be written, in the ways that can be had here, as root too.
import type * as fs from 'node:fs/promises';
import { readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { checkFolder } from '../../../../cli/machine/doctor/disk.js';
import { temporaryFolder } from '../../../support/temporary-folder.js';

/** Files whose writes meet the kernel's own full disk, /dev/full. */
let isDiskFull = false;
vi.mock('node:fs/promises', async (importOriginal) => {
  const real = await importOriginal<typeof fs>();
  const open: typeof fs.open = (file, ...rest) => (isDiskFull ? real.open('/dev/full', 'w') : real.open(file, ...rest));
  return { ...real, open };
});
afterEach(() => {
  isDiskFull = false;
});

const asked = { about: 'runs', chosenBy: '--run-dir', markWithout: 'problem', wantedBytes: 0 } as const;

it('says how much room there is, in a folder that need not exist, and leaves nothing behind', async () => {
  const folder = await temporaryFolder();
  const there = await checkFolder({ ...asked, folder });
  expect(there).toEqual({ about: 'runs', mark: 'ok', says: expect.stringMatching(/: [\d.]+ GiB free$/) });
  const toBeMade = path.join(folder, 'a', 'b');
  expect((await checkFolder({ ...asked, folder: toBeMade })).says).toContain(`${toBeMade}: `);
  expect(readdirSync(folder)).toEqual([]);
});

it('warns where there is less room than is wanted', async () => {
  const check = await checkFolder({ ...asked, folder: await temporaryFolder(), wantedBytes: 2 ** 70 });
  expect(check.mark).toBe('warning');
  expect(check.remedy).toMatch(/^make room for \d+ GiB, or choose another folder: --run-dir$/);
});

it('finds a disk that is full by writing', async () => {
  const folder = await temporaryFolder();
  isDiskFull = true;
  expect(await checkFolder({ ...asked, folder })).toEqual({
    about: 'runs',
    mark: 'problem',
    says: `${folder}: the disk is full`,
    remedy: '--run-dir chooses another folder',
  });
});

it('finds a path that leads through a file', async () => {
  const file = path.join(await temporaryFolder(), 'file');
  writeFileSync(file, '');
  const check = await checkFolder({ ...asked, markWithout: 'warning', folder: path.join(file, 'runs') });
  expect([check.mark, check.says]).toEqual(['warning', `${file}/runs: a part of this path is a file, not a folder`]);
});

it.runIf(process.platform === 'linux')('finds a folder in which nobody can create a file', async () => {
  expect((await checkFolder({ ...asked, folder: '/proc/lockstep' })).mark).toBe('problem');
});

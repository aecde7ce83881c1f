// A temporary folder for one test file, removed after its tests.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll } from 'vitest';

/** Returns a function that joins paths to the folder, to be called within tests. */
export function folderPerFile(): (...parts: string[]) => string {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'lockstep-test-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));
  return (...parts) => path.join(folder, ...parts);
}

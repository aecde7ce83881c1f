// A temporary folder for a test file, removed after all of its tests.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll } from 'vitest';

/** Returns a function that resolves paths in the folder. Call that function only within tests and hooks. */
export function folderPerFile(): (...parts: string[]) => string {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'lockstep-test-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));
  return (...parts) => path.join(folder, ...parts);
}

// What deploy/ needs beside Node: Slurm, PyPI's checkers, debootstrap. Slow, and not part of `npm test`.
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: { include: ['test/deploy/**/*.test.ts'], maxWorkers: 1, testTimeout: 240_000, hookTimeout: 60_000 },
});

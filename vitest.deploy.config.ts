// What deploy/ needs beside Node: Slurm, an sshd, PyPI's checkers, debootstrap, Kubernetes's programs. Slow, and not part of
// `npm test`. Limits end what hangs: a busy machine may take many times as long as it needs.
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: { include: ['test/deploy/**/*.test.ts'], maxWorkers: 1, testTimeout: 900_000, hookTimeout: 900_000 },
});

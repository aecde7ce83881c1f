// Tests of deploy/, which need more programs than Node.js: Slurm, sshd, checkers from PyPI, debootstrap, Kubernetes. They are
// slow and not part of `npm test`. The timeouts only end tests that hang.
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: { include: ['test/deploy/**/*.test.ts'], maxWorkers: 1, testTimeout: 900_000, hookTimeout: 900_000 },
});

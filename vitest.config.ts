import { defineConfig } from 'vitest/config';

/** Ends a test that hangs. No test measures with it: on a busy machine everything takes as long as it takes. */
const patienceMs = 300_000;

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // See vitest.deploy.config.ts.
    exclude: ['test/deploy/**'],
    // Two cores are what the slowest supported machine has; the tests of whole processes start several of their own.
    maxWorkers: 2,
    testTimeout: patienceMs,
    hookTimeout: patienceMs,
    expect: { poll: { timeout: patienceMs, interval: 20 } },
  },
});

import { defineConfig } from 'vitest/config';

/** Ends tests that hang. No test measures time with it: a busy machine may take many times as long as an idle one. */
const timeoutMs = 300_000;

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // See vitest.deploy.config.ts.
    exclude: ['test/deploy/**'],
    // The slowest supported machine has two cores, and many tests start several processes.
    maxWorkers: 2,
    testTimeout: timeoutMs,
    hookTimeout: timeoutMs,
    expect: { poll: { timeout: timeoutMs, interval: 20 } },
  },
});

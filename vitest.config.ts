import { defineConfig } from 'vitest/config';

/** Ends tests that hang. Long, because a busy machine may take many times as long as an idle one. */
const timeoutMs = 300_000;

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Run separately, with vitest.deploy.config.ts.
    exclude: ['test/deploy/**'],
    // Many tests start several processes, and the smallest supported machine has two cores.
    maxWorkers: 2,
    testTimeout: timeoutMs,
    hookTimeout: timeoutMs,
    expect: { poll: { timeout: timeoutMs, interval: 20 } },
  },
});

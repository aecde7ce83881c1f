import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // See vitest.deploy.config.ts.
    exclude: ['test/deploy/**'],
    // Two cores are what the slowest supported machine has; the tests of whole processes start several of their own.
    maxWorkers: 2,
    testTimeout: 20_000,
  },
});

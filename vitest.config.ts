import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { defineConfig } from 'vitest/config';

/** Ends tests that hang. Long, because a busy machine may take many times as long as an idle one. */
const timeoutMs = 300_000;

/** Workers remember the measured speeds of engines here, not in the user's cache. */
const cache = mkdtempSync(path.join(tmpdir(), 'lockstep-test-cache-'));
process.on('exit', () => rmSync(cache, { recursive: true, force: true }));

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Run separately, with vitest.browsers.config.ts and vitest.deploy.config.ts.
    exclude: ['test/browsers/**', 'test/deploy/**'],
    // Many tests start several processes, and the smallest supported machine has two cores.
    maxWorkers: 2,
    env: { XDG_CACHE_HOME: cache },
    testTimeout: timeoutMs,
    hookTimeout: timeoutMs,
    expect: { poll: { timeout: timeoutMs, interval: 20 } },
  },
});

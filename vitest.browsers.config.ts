// Tests of the wasm engine, workers and join links in Chromium and Firefox, and of the webgpu engine on the software driver
// that comes with Chromium. They take minutes on two cores and are not part of `npm test`.
import { defineConfig } from 'vitest/config';
import otherTests from './vitest.config.js';

export default defineConfig({
  test: {
    ...otherTests.test,
    include: ['test/browsers/**/*.test.ts'],
    exclude: [],
    // One file at a time, because each starts browsers.
    maxWorkers: 1,
    // In one of 30 to 100 tests, the Web Worker of a tab in Firefox stops handling messages after it has started another
    // one. Vitest reports which tests it repeated.
    retry: 1,
  },
});

import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { constants, PerformanceObserver, type PerformanceEntry } from 'node:perf_hooks';
import { expect, it } from 'vitest';
import { builtFile } from '../../shared/built-file.js';
import { collectYoungGeneration } from '../../shared/gc.js';

type GarbageEntry = PerformanceEntry & { detail: { kind: number } };

it('collects the young garbage at once', async () => {
  const kinds: number[] = [];
  const collected = new Promise<void>((resolve) => {
    const observer = new PerformanceObserver((list) => {
      for (const entry of list.getEntries() as GarbageEntry[]) kinds.push(entry.detail.kind);
      if (!kinds.includes(constants.NODE_PERFORMANCE_GC_MINOR)) return;
      observer.disconnect();
      resolve();
    });
    observer.observe({ entryTypes: ['gc'] });
  });
  collectYoungGeneration(2 ** 21);
  await collected;
  expect(kinds).toContain(constants.NODE_PERFORMANCE_GC_MINOR);
});

it('serves any number of threads that begin at the same time', async () => {
  const garbage = builtFile('gc.js', new URL('../../shared/gc.ts', import.meta.url).href).href;
  const thread = fileURLToPath(new URL('../support/collecting-thread.mjs', import.meta.url));
  const threads = Array.from({ length: 8 }, () => new Worker(thread, { workerData: garbage }));
  const statuses = await Promise.all(threads.map(async (one) => (await once(one, 'exit')) as [number]));
  expect(statuses.flat()).toEqual(Array(8).fill(0));
});

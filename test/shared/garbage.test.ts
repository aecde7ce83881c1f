import { constants, PerformanceObserver, type PerformanceEntry } from 'node:perf_hooks';
import { expect, it } from 'vitest';
import { collectYoungGarbage } from '../../shared/garbage.js';

type GarbageEntry = PerformanceEntry & { detail: { kind: number } };

it('collects the young garbage at once, and shows no gc to anybody', async () => {
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
  collectYoungGarbage();
  await collected;
  expect(kinds).toContain(constants.NODE_PERFORMANCE_GC_MINOR);
  expect('gc' in globalThis).toBe(false);
});

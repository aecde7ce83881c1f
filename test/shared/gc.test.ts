import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { constants, PerformanceObserver, type PerformanceEntry } from 'node:perf_hooks';
import { describe, expect, it } from 'vitest';
import { setV8Flags } from '../../cli/process/v8-flags.js';
import { builtFile } from '../../shared/built-file.js';
import { collectYoungGeneration } from '../../shared/gc.js';

type GarbageEntry = PerformanceEntry & { detail: { kind: number } };

describe('collectYoungGeneration', () => {
  // This test must run first, because V8 flags cannot be reset.
  it('does nothing in a process that does not expose gc', () => {
    expect(globalThis.gc).toBeUndefined();
    expect(() => collectYoungGeneration()).not.toThrow();
    expect(globalThis.gc).toBeUndefined();
  });

  it('collects at once in a process that does', async () => {
    setV8Flags();
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
    const garbage = new Uint8Array(2 ** 22);
    expect(garbage.length).toBe(2 ** 22);
    collectYoungGeneration();
    await collected;
    expect(kinds).toContain(constants.NODE_PERFORMANCE_GC_MINOR);
  });

  it('collects in threads that start afterward, any number at the same time', async () => {
    setV8Flags();
    const module = builtFile('gc.js', new URL('../../shared/gc.ts', import.meta.url).href).href;
    const program = fileURLToPath(new URL('../support/collecting-thread.mjs', import.meta.url));
    const threads = Array.from({ length: 8 }, () => new Worker(program, { workerData: module }));
    const statuses = await Promise.all(threads.map(async (one) => (await once(one, 'exit')) as [number]));
    expect(statuses.flat()).toEqual(Array(8).fill(0));
  });
});

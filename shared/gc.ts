// Runs garbage collection between steps, in processes that expose it (see cli/process/v8-flags.ts, or use `node
// --expose-gc`).
import { host } from './platform/host.js';

/** Minimum growth that is worth a collection, which takes 0.5 ms, as long as a step of a small network. */
const minGrowthBytes = 2 * 1024 * 1024;

/** Size of this thread's buffers after the last collection. */
let keptBytes = 0;

/**
 * Collects this thread's young generation if its buffers have grown. Call it when nothing is waiting for this thread.
 * Does nothing unless the process exposes `gc`. A step may leave several megabytes of garbage buffers, and the heap is not
 * much larger. By default, V8 would run a full collection of 10 ms every other step, just when the next buffers arrive and
 * other machines are waiting.
 */
export function collectYoungGeneration(): void {
  const { collectYoungGeneration: collect } = host;
  if (collect === undefined) return;
  const usedBytes = host.bufferBytes();
  keptBytes = Math.min(keptBytes, usedBytes);
  if (usedBytes - keptBytes < minGrowthBytes) return;
  collect();
  keptBytes = host.bufferBytes();
}

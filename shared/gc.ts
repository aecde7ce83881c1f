// Runs garbage collection between steps, in processes that expose it (see cli/process/v8-flags.ts, or use `node
// --expose-gc`).

/** Minimum amount of garbage that is worth a collection, which takes 0.5 ms, as long as a step of a small network. */
const minCollectedBytes = 2 * 1024 * 1024;

let allocatedSinceBytes = 0;

/**
 * Collects this thread's young generation. Call it when nothing is waiting for this thread. Does nothing unless the
 * process exposes `gc`. Each step leaves several megabytes of garbage buffers, and the heap is not much larger. By
 * default, V8 would run a full collection of 10 ms every other step, just when the next buffers arrive and other
 * machines are waiting.
 * @param allocatedBytes total size of the buffers allocated since the last call
 */
export function collectYoungGeneration(allocatedBytes: number): void {
  allocatedSinceBytes += allocatedBytes;
  if (allocatedSinceBytes < minCollectedBytes) return;
  allocatedSinceBytes = 0;
  globalThis.gc?.({ type: 'minor' });
}

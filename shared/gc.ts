// Garbage collection between steps, in processes that expose it: see cli/process/v8-flags.ts, or `node --expose-gc`.

/** A collection takes half a millisecond, as long as a small network's step, so it must be worth it. */
const minCollectedBytes = 2 * 1024 * 1024;

let allocatedSinceBytes = 0;

/**
 * Collects this thread's young generation. Call it when nobody waits for this thread. Does nothing unless the process
 * exposes `gc`. A step leaves several megabytes of buffers next to a heap that is not much larger. By default V8 then
 * makes full collections of 10 ms every other step, just when the next buffers arrive and other machines wait.
 * @param allocatedBytes buffers allocated since the last call
 */
export function collectYoungGeneration(allocatedBytes: number): void {
  allocatedSinceBytes += allocatedBytes;
  if (allocatedSinceBytes < minCollectedBytes) return;
  allocatedSinceBytes = 0;
  globalThis.gc?.({ type: 'minor' });
}

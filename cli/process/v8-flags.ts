// V8 flags of the command-line processes. The library sets none, because flags affect the entire process.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * Sets the flags. Call it before anything else runs: a thread sees only the flags that are set when it starts.
 * - Exposes `gc` to this thread and to those started later, for collectYoungGeneration in shared/gc.ts.
 * - Lets the heap and its buffers grow to five times the memory in use before a full garbage collection: to 75 MB for a
 *   coordinator that uses 15 MB.
 */
export function setV8Flags(): void {
  setFlagsFromString('--expose-gc');
  setFlagsFromString('--heap-growing-percent=400');
  // The flag exposes `gc` only to new contexts, and this thread's context already exists.
  globalThis.gc = runInNewContext('gc') as NodeJS.GCFunction;
}

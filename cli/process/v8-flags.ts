// V8 flags of the command line's processes. The library never sets any: they belong to whoever owns the process.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * Set before anything else runs: threads see the flags that are set when they start.
 * - Exposes `gc` to this thread and to those started later, for collectYoungGeneration in shared/gc.ts.
 * - Lets the heap and its buffers grow to five times what is in use before a full collection: 75 MB for a coordinator
 *   that uses 15 MB.
 */
export function setV8Flags(): void {
  setFlagsFromString('--expose-gc');
  setFlagsFromString('--heap-growing-percent=400');
  // The flag shows `gc` to new contexts only; this thread's exists already.
  globalThis.gc = runInNewContext('gc') as NodeJS.GCFunction;
}

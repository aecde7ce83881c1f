// When garbage is collected. A step leaves buffers of some megabytes beside a heap that is not much larger: V8 answers them
// with whole collections of 10 ms every other step, just when the next ones come in and other machines wait.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

type Collect = (options: { type: 'minor' }) => void;

/** Less than this is left until more has come together: a collection takes half a millisecond, as long as a small network's step. */
const worthCollectingBytes = 2 * 1024 * 1024;

let collect: Collect | undefined;
let madeSinceBytes = 0;

/**
 * Collects what this thread has made and needs no longer: for a moment in which nobody waits for it.
 * @param madeBytes of buffers, since the last call
 */
export function collectYoungGeneration(madeBytes: number): void {
  madeSinceBytes += madeBytes;
  if (madeSinceBytes < worthCollectingBytes) return;
  madeSinceBytes = 0;
  collect ??= garbageCollector();
  collect({ type: 'minor' });
}

/**
 * V8's own, which a new context has once it may be shown. It stays so: the flag is the process's, and a thread that took it
 * back would take it from another one that is just asking.
 */
function garbageCollector(): Collect {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as Collect;
}

/**
 * Lets the heap and its buffers grow to five times what is in use before all of it is looked through: 75 MB of a coordinator's
 * 15. For whoever owns the process.
 */
export function raiseHeapGrowth(): void {
  setFlagsFromString('--heap-growing-percent=400');
}

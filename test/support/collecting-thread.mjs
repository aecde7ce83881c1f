// A thread that checks that collectYoungGeneration() calls gc once. Fails if gc is not exposed to threads.
import assert from 'node:assert';
import { workerData } from 'node:worker_threads';

let collections = 0;
const { gc } = globalThis;
assert(gc !== undefined, 'gc is not exposed to this thread');
globalThis.gc = (options) => {
  collections++;
  void gc(options);
};
globalThis.garbage = new Uint8Array(2 ** 22);
const { collectYoungGeneration } = await import(workerData);
collectYoungGeneration();
assert.equal(collections, 1);

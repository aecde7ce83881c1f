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
const { collectYoungGeneration } = await import(workerData);
collectYoungGeneration(2 ** 21);
assert.equal(collections, 1);

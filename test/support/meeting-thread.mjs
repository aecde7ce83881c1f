// A thread that meets its team a given number of times. After each meeting it increments a counter in shared memory.
import { parentPort, workerData } from 'node:worker_threads';
import { ThreadTeam } from '../../dist/worker/engines/wasm/thread-team.js';

const { memory, threads, meetings, countAt } = workerData;
const team = new ThreadTeam(memory, threads);
const count = new Int32Array(memory.buffer, countAt, 1);
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port, which has no origin
parentPort.postMessage('ready');
for (let meeting = 0; meeting < meetings; meeting++) {
  team.meet();
  Atomics.add(count, 0, 1);
}

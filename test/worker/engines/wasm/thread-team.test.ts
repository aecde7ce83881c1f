// The barrier at which the threads of a model wait for each other.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { controlBytes } from '../../../../worker/engines/wasm/memory/tensor.js';
import { ThreadTeam } from '../../../../worker/engines/wasm/thread-team.js';

/** Starts a team of two threads, the second of which passes the barrier `meetings` times and exits. */
async function startMeeting(meetings: number) {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const workerData = { memory, threads: 2, meetings, countAt: controlBytes };
  const thread = new Worker(new URL('../../../support/meeting-thread.mjs', import.meta.url), { workerData });
  await once(thread, 'message');
  return {
    team: new ThreadTeam(memory, 2),
    ended: once(thread, 'exit'),
    controlWords: new Int32Array(memory.buffer, 0, controlBytes / 4),
    timesLeft: new Int32Array(memory.buffer, controlBytes, 1),
  };
}

describe('the barrier', () => {
  test('opens when all threads have arrived, not when one is woken', async () => {
    const { team, ended, controlWords, timesLeft } = await startMeeting(1);
    // A thread that is preempted in meet() before it notifies can later wake threads that already wait at the next
    // barrier. This test simulates such wake-ups: the other thread can be woken three times only if it goes back to
    // sleep each time.
    let timesWoken = 0;
    while (timesWoken < 3 && Atomics.load(timesLeft, 0) === 0) {
      for (let word = 0; word < controlWords.length; word++) timesWoken += Atomics.notify(controlWords, word);
    }
    expect(timesWoken).toBe(3);
    expect(Atomics.load(timesLeft, 0)).toBe(0);
    team.meet();
    await ended;
    expect(Atomics.load(timesLeft, 0)).toBe(1);
  });

  test('never has a thread more than one barrier ahead of the others', async () => {
    const meetings = 2000;
    const { team, ended, timesLeft } = await startMeeting(meetings);
    let outOfStep = 0;
    for (let meeting = 0; meeting < meetings; meeting++) {
      // The other thread has passed all barriers before the current one, except perhaps the last of them, and cannot
      // have passed the current one.
      const left = Atomics.load(timesLeft, 0);
      if (left !== meeting && left !== meeting - 1) outOfStep++;
      team.meet();
    }
    expect(outOfStep).toBe(0);
    await ended;
    expect(Atomics.load(timesLeft, 0)).toBe(meetings);
  });
});

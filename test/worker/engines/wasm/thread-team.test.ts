// How threads wait for each other.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { controlBytes } from '../../../../worker/engines/wasm/memory-plan.js';
import { ThreadTeam } from '../../../../worker/engines/wasm/thread-team.js';

/** A team of two, the other of which meets this thread so often and then ends. */
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

describe('a meeting', () => {
  test('ends when all have come, not when a thread is woken', async () => {
    const { team, ended, controlWords, timesLeft } = await startMeeting(1);
    // A thread that is preempted in meet() before its notify wakes whoever sleeps in the next meeting by then. Here each
    // word is notified until the other thread was asleep and woken three times: only if it went back to sleep, it can be.
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

  test('is followed by the next without a thread in two of them', async () => {
    const meetings = 2000;
    const { team, ended, timesLeft } = await startMeeting(meetings);
    let outOfStep = 0;
    for (let meeting = 0; meeting < meetings; meeting++) {
      // The other has left all meetings before this one but perhaps the last, and cannot leave this one.
      const left = Atomics.load(timesLeft, 0);
      if (left !== meeting && left !== meeting - 1) outOfStep++;
      team.meet();
    }
    expect(outOfStep).toBe(0);
    await ended;
    expect(Atomics.load(timesLeft, 0)).toBe(meetings);
  });
});

// Advances the fake clock of a coordinator whose workers are processes with a real clock.
import { expect } from 'vitest';
import type { Coordinator } from '../../coordinator/main.js';
import type { FakeClock } from './fake-clock.js';

/** The default heartbeat interval. */
const heartbeatIntervalMs = 2_000;

/**
 * Advances the clock until something has happened. Between heartbeats it waits, in real time, for the answers of live workers,
 * so that these never exceed the heartbeat timeout.
 * @param alive names of the workers to wait for
 */
export async function passTimeUntil(
  done: Promise<unknown>,
  { coordinator, clock, alive }: { coordinator: Coordinator; clock: FakeClock; alive: readonly string[] },
): Promise<void> {
  const wait = { isDone: false };
  void done.then(() => (wait.isDone = true));
  const haveAllAnswered = () =>
    coordinator
      .status()
      .workers.every(({ name, state, lastSeenSecondsAgo }) =>
        state === 'lost' || !alive.includes(name) ? true : lastSeenSecondsAgo === 0,
      );
  while (!wait.isDone) {
    clock.advance(heartbeatIntervalMs);
    // Lets sockets be read.
    await new Promise((resolve) => setImmediate(resolve));
    await expect.poll(() => wait.isDone || haveAllAnswered()).toBe(true);
  }
}

// Advances a coordinator's fake clock in a test, while its workers are processes in real time.
import { expect } from 'vitest';
import type { Coordinator } from '../../coordinator/main.js';
import type { FakeClock } from './fake-clock.js';

/** The default heartbeat interval. */
const heartbeatIntervalMs = 2_000;

/**
 * Advances the time until a promise resolves. The time stands still until all live workers have answered their heartbeats, so
 * that a slow answer never disconnects a worker.
 * @param alive names of the workers that answer
 */
export async function passTimeUntil(
  done: Promise<unknown>,
  { coordinator, clock, alive }: { coordinator: Coordinator; clock: FakeClock; alive: readonly string[] },
): Promise<void> {
  const state = { isDone: false };
  void done.then(() => (state.isDone = true));
  const haveAllAnswered = () =>
    coordinator
      .status()
      .workers.every(({ name, state, lastSeenSecondsAgo }) =>
        state === 'lost' || !alive.includes(name) ? true : lastSeenSecondsAgo === 0,
      );
  while (!state.isDone) {
    clock.advance(heartbeatIntervalMs);
    // Lets sockets be read.
    await new Promise((resolve) => setImmediate(resolve));
    await expect.poll(() => state.isDone || haveAllAnswered()).toBe(true);
  }
}

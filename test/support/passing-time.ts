// Advances the fake clock of a coordinator whose workers are processes that use the real clock.
import { expect } from 'vitest';
import type { Coordinator } from '../../coordinator/main.js';
import type { FakeClock } from './fake-clock.js';

/** The default heartbeat interval. */
const heartbeatIntervalMs = 2_000;

/**
 * Advances the clock until `done` resolves. After each heartbeat interval, waits in real time until all live workers
 * have answered, so that they never exceed the heartbeat timeout.
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
    // Let Node.js read from the sockets.
    await new Promise((resolve) => setImmediate(resolve));
    await expect.poll(() => wait.isDone || haveAllAnswered()).toBe(true);
  }
}

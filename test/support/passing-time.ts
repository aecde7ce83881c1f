// Lets a coordinator's time pass in a test, while its workers are processes whose own time goes on as it likes.
import { expect } from 'vitest';
import type { Coordinator } from '../../coordinator/main.js';
import type { FakeClock } from './fake-clock.js';

/** As often as workers are pinged, unless told otherwise. */
const heartbeatIntervalMs = 2_000;

/**
 * Lets time pass until something has happened. However long a worker that is alive takes to answer a ping, no time passes
 * meanwhile: it is never taken for silent.
 * @param alive names of the workers whose answers are waited for
 */
export async function passTimeUntil(
  happened: Promise<unknown>,
  { coordinator, clock, alive }: { coordinator: Coordinator; clock: FakeClock; alive: readonly string[] },
): Promise<void> {
  const waited = { isOver: false };
  void happened.then(() => (waited.isOver = true));
  const haveAnswered = () =>
    coordinator
      .status()
      .workers.every(({ name, state, lastSeenSecondsAgo }) =>
        state === 'lost' || !alive.includes(name) ? true : lastSeenSecondsAgo === 0,
      );
  while (!waited.isOver) {
    clock.advance(heartbeatIntervalMs);
    // Sockets are read between timers.
    await new Promise((resolve) => setImmediate(resolve));
    await expect.poll(() => waited.isOver || haveAnswered()).toBe(true);
  }
}

// Creates the quorum of a session, for a training run or an evaluation.
import type { Clock } from '../shared/clock.js';
import { WorkerQuorum } from './connections/worker-quorum.js';
import type { RunEventBus } from './run/run-event-bus.js';
import type { CoordinatorSession } from './session.js';
import type { RunPhases } from './training/run-phases.js';

/**
 * Creates a quorum that publishes an event when a wait starts, and stops the session when a wait times out.
 * @param waitTimeoutMs maximum duration of a wait; undefined for no limit
 * @param phases phases of a training run, in which the waits are recorded
 */
export function createQuorum(
  session: CoordinatorSession,
  events: RunEventBus,
  clock: Clock,
  waitTimeoutMs: number | undefined,
  phases?: RunPhases,
): WorkerQuorum {
  return new WorkerQuorum(session.pool, clock, waitTimeoutMs, {
    onWaiting: (needed) => {
      events.publish({ type: 'waiting', workers: session.pool.size, needed });
      phases?.setWaiting(true);
    },
    onEnough: () => phases?.setWaiting(false),
    onTimeout: (error) => session.stop(error),
  });
}

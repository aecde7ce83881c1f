// Tells the workers in a status from relays. The dashboard uses it, so it does not load the schema of the status.
import type { WorkerStatus } from './run-status.js';

/** Whether this is a connected worker that computes, not a relay. */
export function computes({ state, relayedWorkers }: WorkerStatus): boolean {
  return state !== 'lost' && relayedWorkers === null;
}

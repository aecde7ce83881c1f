// Carries out operators' requests, and publishes an event that names the operator.
import { z } from 'zod';
import { LockstepError } from '../../shared/errors.js';
import type { WorkerPool } from '../connections/worker-pool.js';
import type { RunEventBus } from '../run/run-event-bus.js';
import type { RunControl } from './run-control.js';

/** Schema of a request. `worker` is the id of a connected worker. */
export const operatorRequest = z.discriminatedUnion('action', [
  z.strictObject({ action: z.literal('pause') }),
  z.strictObject({ action: z.literal('continue') }),
  z.strictObject({ action: z.literal('checkpoint') }),
  z.strictObject({ action: z.literal('stop') }),
  z.strictObject({ action: z.literal('drop'), worker: z.int().nonnegative() }),
]);
export type OperatorRequest = z.infer<typeof operatorRequest>;

/** The parts of a run that operators control. */
export interface OperatedRun {
  control: RunControl;
  pool: WorkerPool;
  events: RunEventBus;
  /** Ends the run after the current step, with a checkpoint. */
  stop: (reason: LockstepError) => void;
}

/**
 * Carries out an operator's request.
 * @param by name of the operator, for display
 * @returns why the request is refused; undefined if it was carried out
 */
export function applyOperatorRequest(request: OperatorRequest, by: string, run: OperatedRun): string | undefined {
  const { control, pool, events, stop } = run;
  const publish = (detail: string) => events.publish({ type: 'operated', action: request.action, detail });
  switch (request.action) {
    case 'pause':
    case 'continue':
    case 'checkpoint': {
      const refusal = control.request(request.action);
      if (refusal === undefined) publish(`by ${by}`);
      return refusal;
    }
    case 'stop':
      publish(`by ${by}`);
      stop(new LockstepError('interrupted', `stopped by ${by}`));
      return undefined;
    case 'drop': {
      const worker = pool.get(request.worker);
      if (worker === undefined) return `worker ${request.worker} is not connected: it may have left`;
      publish(`${worker.name} (${worker.address}) by ${by}`);
      // A worker that receives a goodbye does not reconnect. The pool removes it when its socket closes.
      void worker.goodbye(`dropped by ${by}`);
      return undefined;
    }
    default:
      return request satisfies never;
  }
}

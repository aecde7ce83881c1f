// Carries out what somebody with an operator's token asks of a running run, and writes down who asked.
import { z } from 'zod';
import { LockstepError } from '../../shared/errors.js';
import type { RunControl } from './run-control.js';
import type { RunEventBus } from '../run/run-event-bus.js';
import type { WorkerPool } from '../connections/worker-pool.js';

/** What may be asked, as it comes in. `worker` is the id of a worker that is here. */
export const operatorRequest = z.discriminatedUnion('action', [
  z.strictObject({ action: z.literal('pause') }),
  z.strictObject({ action: z.literal('continue') }),
  z.strictObject({ action: z.literal('checkpoint') }),
  z.strictObject({ action: z.literal('stop') }),
  z.strictObject({ action: z.literal('drop'), worker: z.int().nonnegative() }),
]);
export type OperatorRequest = z.infer<typeof operatorRequest>;

export interface OperatorOptions {
  control: RunControl;
  pool: WorkerPool;
  journal: RunEventBus;
  /** Ends the run after the running step, with a checkpoint. */
  stop: (reason: LockstepError) => void;
}

/** @param by whose wish it is, for people. @returns why it cannot be done now, or undefined where it is done */
export function operate(options: OperatorOptions, request: OperatorRequest, by: string): string | undefined {
  const { control, pool, journal, stop } = options;
  switch (request.action) {
    case 'pause':
    case 'continue':
    case 'checkpoint': {
      const refusal = control.ask(request.action);
      if (refusal === undefined) journal.operated(request.action, by);
      return refusal;
    }
    case 'stop':
      journal.operated('stop', by);
      stop(new LockstepError('interrupted', `stopped by ${by}`));
      return undefined;
    case 'drop': {
      const worker = pool.get(request.worker);
      if (worker === undefined) return `there is no worker ${request.worker}: it may have left`;
      journal.operated('drop', by, `${worker.name} (${worker.address})`);
      // A worker that is told goodbye does not come back; the pool learns of its end from its socket.
      void worker.goodbye(`dropped by ${by}`);
      return undefined;
    }
    default:
      return request satisfies never;
  }
}

// Carries out operators' requests, and publishes an event that names the operator.
import { z } from 'zod';
import { LockstepError } from '../../shared/errors.js';
import type { JoinLinks } from '../connections/join/join-links.js';
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
  z.strictObject({ action: z.literal('create-link') }),
  z.strictObject({ action: z.literal('revoke-link') }),
]);
export type OperatorRequest = z.infer<typeof operatorRequest>;

/** The parts of a run that operators control. */
export interface OperatedRun {
  control: RunControl;
  pool: WorkerPool;
  events: RunEventBus;
  /** The join links; undefined if the run was started without. */
  links: JoinLinks | undefined;
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
      const worker = pool.connections.find(({ id }) => id === request.worker);
      if (worker === undefined) return whyNotDropped(request.worker, pool);
      publish(`${worker.name} (${worker.address}) by ${by}`);
      // A worker that receives a goodbye does not reconnect. The pool removes it when its socket closes.
      void worker.goodbye(`dropped by ${by}`);
      return undefined;
    }
    case 'create-link':
    case 'revoke-link': {
      const refusal = request.action === 'create-link' ? createLink(run) : revokeLink(run, by);
      if (refusal === undefined) publish(`by ${by}`);
      return refusal;
    }
    default:
      return request satisfies never;
  }
}

function whyNotDropped(id: number, pool: WorkerPool): string {
  const relay = pool.connections.find(({ relayed }) => relayed?.all.some((worker) => worker.id === id));
  if (relay === undefined) return `worker ${id} is not connected: it may have left`;
  return `worker ${id} is connected through ${relay.name} and can only be dropped together with it: drop worker ${relay.id}`;
}

function createLink({ links }: OperatedRun): string | undefined {
  if (links === undefined) return 'this run was started without --join-link: resume it with --join-link';
  if (links.current !== undefined) return 'there is a join link already: revoke it first';
  return problemOf(() => links.create());
}

/** Revokes the current link, and disconnects the workers that joined with it. */
function revokeLink({ links, pool }: OperatedRun, by: string): string | undefined {
  const link = links?.current;
  if (links === undefined || link === undefined) return 'there is no join link to revoke';
  const problem = problemOf(() => links.revoke());
  for (const worker of pool.workersOf(link.id)) void worker.goodbye(`the join link was revoked by ${by}`);
  return problem && `${problem}; the link is revoked until the coordinator is restarted`;
}

/** Returns why a change cannot be saved; undefined if it has been saved. */
function problemOf(change: () => void): string | undefined {
  try {
    change();
    return undefined;
  } catch (error) {
    if (error instanceof LockstepError) return error.message;
    throw error;
  }
}

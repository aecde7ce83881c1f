// Says when there are too few workers to go on, and ends a wait that lasts too long.
import type { Clock } from '../../shared/clock.js';
import { LockstepError } from '../../shared/errors.js';
import type { WorkerPool } from './worker-pool.js';

export interface WorkerQuorumOptions {
  pool: WorkerPool;
  clock: Clock;
  /** How long a wait may last; undefined for ever. */
  timeoutMs: number | undefined;
  /** Called when a wait begins, or needs another number of workers. */
  onWaiting: (needed: number) => void;
  /** Called when a wait is over, for whatever reason. */
  onRest: () => void;
  /** Called once a wait has lasted too long. */
  onTimeout: (needed: number) => void;
}

export class WorkerQuorum {
  readonly #options: WorkerQuorumOptions;
  readonly #stopListening: () => void;
  #needed = 0;
  /** Ends the running wait's timer; undefined while enough workers are here. */
  #endWait: (() => void) | undefined;

  constructor(options: WorkerQuorumOptions) {
    this.#options = options;
    const check = () => this.#check();
    this.#stopListening = options.pool.listen({ joined: check, left: check });
  }

  /** Without so many workers the run waits. */
  get needed(): number {
    return this.#needed;
  }

  /** From now on so many workers are needed, also in the middle of a step. */
  need(workers: number): void {
    if (workers === this.#needed) return;
    this.#needed = workers;
    this.#rest();
    this.#check();
  }

  close(): void {
    this.#stopListening();
    this.#rest();
  }

  #check(): void {
    const { pool, clock, timeoutMs, onWaiting, onTimeout } = this.#options;
    const needed = this.#needed;
    if (pool.size >= needed) return this.#rest();
    if (this.#endWait !== undefined) return;
    this.#endWait = timeoutMs === undefined ? () => undefined : clock.after(timeoutMs, () => onTimeout(needed));
    onWaiting(needed);
  }

  #rest(): void {
    if (this.#endWait === undefined) return;
    this.#endWait();
    this.#endWait = undefined;
    this.#options.onRest();
  }
}

/** What ends a run that has waited too long. */
export function waitedTooLong(needed: number, timeoutMs = 0): LockstepError {
  return new LockstepError(
    'no-workers',
    `fewer than ${needed} worker${needed === 1 ? ' was' : 's were'} here for ${timeoutMs / 1000} s (--wait-timeout)`,
  );
}

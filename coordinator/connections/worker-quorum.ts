// Waits until enough workers are connected, and ends a wait that takes too long.
import type { Clock } from '../../shared/clock.js';
import { LockstepError } from '../../shared/errors.js';
import { interruption, type WorkerPool } from './worker-pool.js';

export interface QuorumHandlers {
  /** A wait starts, or the number of workers needed has changed. */
  onWaiting: (needed: number) => void;
  /** The wait is over, for whatever reason. */
  onEnough: () => void;
  /** The wait has exceeded the timeout. */
  onTimeout: (error: LockstepError) => void;
}

export class WorkerQuorum {
  readonly #pool: WorkerPool;
  readonly #clock: Clock;
  readonly #timeoutMs: number | undefined;
  readonly #handlers: QuorumHandlers;
  readonly #stopListening: () => void;
  #needed = 0;
  /** Stops the timer of the running wait; undefined while enough workers are connected. */
  #stopTimer: (() => void) | undefined;

  /** @param timeoutMs longest wait; undefined for no limit */
  constructor(pool: WorkerPool, clock: Clock, timeoutMs: number | undefined, handlers: QuorumHandlers) {
    this.#pool = pool;
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    this.#handlers = handlers;
    const check = () => this.#check();
    this.#stopListening = pool.listen({ joined: check, left: check });
  }

  /** The number of workers without which the run waits. */
  get needed(): number {
    return this.#needed;
  }

  /** Sets the number of workers needed from now on, also in the middle of a step. */
  need(workers: number): void {
    if (workers === this.#needed) return;
    this.#needed = workers;
    this.#endWait();
    this.#check();
  }

  /** Resolves when enough workers are connected. Rejects when the signal is aborted. */
  async reached(signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw interruption(signal);
    if (this.#pool.size >= this.#needed) return;
    await new Promise<void>((resolve, reject) => {
      const settle = (action: () => void) => {
        stopListening();
        signal.removeEventListener('abort', onAbort);
        action();
      };
      const onAbort = () => settle(() => reject(interruption(signal)));
      const stopListening = this.#pool.listen({
        joined: () => {
          if (this.#pool.size >= this.#needed) settle(resolve);
        },
      });
      signal.addEventListener('abort', onAbort);
    });
  }

  close(): void {
    this.#stopListening();
    this.#endWait();
  }

  #check(): void {
    if (this.#pool.size >= this.#needed) return this.#endWait();
    if (this.#stopTimer !== undefined) return;
    const [needed, timeoutMs] = [this.#needed, this.#timeoutMs];
    this.#stopTimer =
      timeoutMs === undefined
        ? () => undefined
        : this.#clock.after(timeoutMs, () => this.#handlers.onTimeout(tooFewWorkers(needed, timeoutMs)));
    this.#handlers.onWaiting(needed);
  }

  #endWait(): void {
    if (this.#stopTimer === undefined) return;
    this.#stopTimer();
    this.#stopTimer = undefined;
    this.#handlers.onEnough();
  }
}

function tooFewWorkers(needed: number, timeoutMs: number): LockstepError {
  return new LockstepError(
    'no-workers',
    `fewer than ${needed} worker${needed === 1 ? ' was' : 's were'} connected for ${timeoutMs / 1000} s (\`waitTimeoutMs\`)`,
  );
}

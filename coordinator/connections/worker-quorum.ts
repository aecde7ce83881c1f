// Waits until enough workers are connected, or until the wait times out.
import type { Clock } from '../../shared/clock.js';
import { LockstepError } from '../../shared/errors.js';
import { interruption, type WorkerPool } from './worker-pool.js';

export interface QuorumHandlers {
  /** Called when a wait starts, or when the number of workers needed changes during a wait. */
  onWaiting: (needed: number) => void;
  /** Called when a wait ends: enough workers are connected, a different number is needed, or close() was called. */
  onEnough: () => void;
  /** Called when the wait has exceeded the timeout. */
  onTimeout: (error: LockstepError) => void;
}

export class WorkerQuorum {
  readonly #pool: WorkerPool;
  readonly #clock: Clock;
  readonly #timeoutMs: number | undefined;
  readonly #handlers: QuorumHandlers;
  readonly #stopListening: () => void;
  #needed = 0;
  /** Cancels the timer of the current wait; undefined while enough workers are connected. */
  #stopTimer: (() => void) | undefined;

  /** @param timeoutMs maximum duration of a wait; undefined for no limit */
  constructor(pool: WorkerPool, clock: Clock, timeoutMs: number | undefined, handlers: QuorumHandlers) {
    this.#pool = pool;
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    this.#handlers = handlers;
    const check = () => this.#check();
    this.#stopListening = pool.listen({ joined: check, left: check, relayedJoined: check, relayedLeft: check });
  }

  /** Number of workers needed; the run waits while fewer are connected. */
  get needed(): number {
    return this.#needed;
  }

  /** Sets the number of workers needed from now on. Takes effect even in the middle of a step. */
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
      const joined = () => {
        if (this.#pool.size >= this.#needed) settle(resolve);
      };
      const stopListening = this.#pool.listen({ joined, relayedJoined: joined });
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
    `timed out after ${timeoutMs / 1000} s waiting for ${needed} connected worker${needed === 1 ? '' : 's'}: ` +
      'start more workers, or increase `waitTimeoutMs`',
  );
}

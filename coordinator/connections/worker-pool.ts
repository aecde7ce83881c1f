// The workers that are here now, and who is told when one comes, goes or says something.
import { LockstepError } from '../../shared/errors.js';
import type { EvaluationMessage, GradientMessage, TimingMessage } from '../../shared/protocol/messages.js';
import type { WorkerConnection } from './worker-connection.js';

/** What the training loop wants to know of the pool while it waits for something. */
export interface PoolListener {
  joined?: (worker: WorkerConnection) => void;
  left?: (worker: WorkerConnection, reason: string) => void;
  gradient?: (worker: WorkerConnection, message: GradientMessage, payload: Uint8Array) => void;
  timing?: (worker: WorkerConnection, message: TimingMessage) => void;
  evaluation?: (worker: WorkerConnection, message: EvaluationMessage, payload: Uint8Array) => void;
  /** A worker has a shard that it had not before. */
  shardHeld?: (worker: WorkerConnection) => void;
}

export class WorkerPool {
  readonly #workers = new Map<number, WorkerConnection>();
  readonly #listeners = new Set<PoolListener>();

  /** In the order in which they joined. */
  get workers(): readonly WorkerConnection[] {
    return [...this.#workers.values()];
  }

  get size(): number {
    return this.#workers.size;
  }

  get(id: number): WorkerConnection | undefined {
    return this.#workers.get(id);
  }

  /** @returns a function that ends the listening */
  listen(listener: PoolListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  add(worker: WorkerConnection): void {
    this.#workers.set(worker.id, worker);
    for (const listener of this.#listeners) listener.joined?.(worker);
  }

  remove(worker: WorkerConnection, reason: string): void {
    if (!this.#workers.delete(worker.id)) return;
    for (const listener of this.#listeners) listener.left?.(worker, reason);
  }

  gradientFrom(worker: WorkerConnection, message: GradientMessage, payload: Uint8Array): void {
    for (const listener of this.#listeners) listener.gradient?.(worker, message, payload);
  }

  evaluationFrom(worker: WorkerConnection, message: EvaluationMessage, payload: Uint8Array): void {
    for (const listener of this.#listeners) listener.evaluation?.(worker, message, payload);
  }

  timingFrom(worker: WorkerConnection, message: TimingMessage): void {
    for (const listener of this.#listeners) listener.timing?.(worker, message);
  }

  shardHeldBy(worker: WorkerConnection): void {
    for (const listener of this.#listeners) listener.shardHeld?.(worker);
  }

  /**
   * Waits until something is settled by what the pool tells.
   * @param start begins the wait: it returns the listener, and calls resolve or reject now or later
   * @param signal ends the wait, if there is no worker left that could settle it
   */
  async settle<Value>(
    signal: AbortSignal,
    start: (settle: { resolve: (value: Value) => void; reject: (error: unknown) => void }) => PoolListener,
  ): Promise<Value> {
    const cleanups: (() => void)[] = [];
    try {
      return await new Promise<Value>((resolve, reject) => {
        const giveUpIfNobodyIsLeft = () => {
          if (signal.aborted && this.size === 0) reject(interruption(signal));
        };
        cleanups.push(this.listen(start({ resolve, reject })));
        cleanups.push(this.listen({ left: giveUpIfNobodyIsLeft }));
        signal.addEventListener('abort', giveUpIfNobodyIsLeft);
        cleanups.push(() => signal.removeEventListener('abort', giveUpIfNobodyIsLeft));
        giveUpIfNobodyIsLeft();
      });
    } finally {
      for (const cleanup of cleanups) cleanup();
    }
  }

  /** Resolves when at least count workers are here. */
  async atLeast(count: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw interruption(signal);
    await new Promise<void>((resolve, reject) => {
      const settle = (action: () => void) => {
        stopListening();
        signal.removeEventListener('abort', onAbort);
        action();
      };
      const onAbort = () => settle(() => reject(interruption(signal)));
      const check = () => {
        if (this.size >= count) settle(resolve);
      };
      const stopListening = this.listen({ joined: check });
      signal.addEventListener('abort', onAbort);
      check();
    });
  }
}

/** What ends a run that was told to stop: the signal's own reason where it is an error of ours. */
export function interruption(signal: AbortSignal): LockstepError {
  return signal.reason instanceof LockstepError
    ? signal.reason
    : new LockstepError('interrupted', 'the run was interrupted');
}

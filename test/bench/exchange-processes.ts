// Starts and ends the worker processes of the exchange benchmark.
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** One side of the exchange benchmark, with its workers connected. */
export interface Exchange {
  /** Runs one step with all workers. */
  step(): Promise<void>;
  close(): Promise<void>;
}

export function forkWorker(...args: string[]): ChildProcess {
  return fork(fileURLToPath(new URL('./exchange-worker.js', import.meta.url)), args);
}

export async function endAll(children: readonly ChildProcess[]): Promise<void> {
  await Promise.all(
    children.map(async (child) => {
      const exited = once(child, 'exit');
      child.kill();
      await exited;
    }),
  );
}

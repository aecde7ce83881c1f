// Ends the processes that a test of deploy/ started.
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';

/** Ends processes in reverse order, as each may need the ones before it. Resolves when all have ended. */
export async function endDaemons(started: readonly ChildProcess[]): Promise<void> {
  for (const child of started.toReversed()) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await ended;
  }
}

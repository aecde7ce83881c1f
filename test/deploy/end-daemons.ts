// Ends what a test of deploy/ started.
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';

/** One after the other, the last one first: each may need those before it. Resolves when all have ended. */
export async function endDaemons(started: readonly ChildProcess[]): Promise<void> {
  for (const child of started.toReversed()) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await ended;
  }
}

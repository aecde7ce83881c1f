// Stops the daemons that a deployment test started.
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';

/** Stops processes in reverse order, because each may depend on earlier ones. Resolves when all have exited. */
export async function endDaemons(started: readonly ChildProcess[]): Promise<void> {
  for (const child of started.toReversed()) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await ended;
  }
}

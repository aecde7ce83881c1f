// Runs the command that was given again, in a process whose environment has what can only be read at a process's start.
import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** Resolves when the child has ended, with its exit status as this process's. */
export async function runAgainWith(environment: Readonly<Record<string, string>>): Promise<void> {
  const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    env: { ...process.env, ...environment },
    // The channel tells the child when this process is gone: see exitWithParent.
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  });
  const [status] = (await once(child, 'close')) as [number | null];
  process.exitCode = status ?? 1;
}

/** Whether a process of this program started this one, which may be gone by now, and has chosen what it is to be. */
export function isSupervised(): boolean {
  return process.send !== undefined;
}

/**
 * In a child: ends it when the process that started it is gone, or was before this could be asked for, and lets it end by
 * itself before.
 */
export function exitWithParent(): void {
  if (!process.connected) process.exit(1);
  process.once('disconnect', () => process.exit(1));
  process.channel?.unref();
}

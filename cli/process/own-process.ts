// Restarting this command in a child process, and being such a child.
import { spawn } from 'node:child_process';
import { once } from 'node:events';

/**
 * Runs the same command line again with additional environment variables, for settings that are read when a process starts.
 * Resolves when the child has exited, with its exit status as this process's.
 */
export async function rerunWith(environment: Readonly<Record<string, string>>): Promise<void> {
  const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    env: { ...process.env, ...environment },
    // The channel closes when this process exits: see exitWithParent.
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  });
  const [status] = (await once(child, 'close')) as [number | null];
  process.exitCode = status ?? 1;
}

/** Whether another Lockstep process started this one and has chosen its device and environment. */
export function isSupervised(): boolean {
  return process.send !== undefined;
}

/** In a supervised process: exits when the parent does, even if that has already happened, without keeping it alive. */
export function exitWithParent(): void {
  if (!process.connected) process.exit(1);
  process.once('disconnect', () => process.exit(1));
  process.channel?.unref();
}

// Reruns this command in a child process, and ends such a child when its parent exits.
import { spawn } from 'node:child_process';
import { once } from 'node:events';

/**
 * Runs the same command line again with additional environment variables, for settings that are read when a process
 * starts. Resolves when the child has exited, and sets the exit status of this process to that of the child.
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

/** Returns whether another Lockstep process started this one and has chosen its device and environment. */
export function isSupervised(): boolean {
  return process.send !== undefined;
}

/**
 * Makes a supervised process exit when its parent exits, or at once if the parent has already exited. The IPC channel
 * does not keep this process running.
 */
export function exitWithParent(): void {
  if (!process.connected) process.exit(1);
  process.once('disconnect', () => process.exit(1));
  process.channel?.unref();
}

// Restarts a worker process that crashes, unless it crashes too often or a restart cannot help.
import type { Clock } from '../shared/clock.js';

/**
 * Maximum number of restarts within `windowMs`, an hour. A process that crashes more often is assumed to have a
 * permanent problem.
 */
const maxRestarts = 5;
const windowMs = 3_600_000;
/** Delay before the first restart. It doubles with each further restart within `windowMs`. */
const firstDelayMs = 500;

/** Properties of a worker process that decide whether to restart it. */
export interface SupervisedProcess {
  child: { exitCode: number | null };
  exited: Promise<unknown>;
  /** Error reported by the process, if any. */
  failure: { code: string } | undefined;
}

export interface WorkerSupervisor<Process extends SupervisedProcess> {
  /** The running process, or the last one if none is running. */
  readonly process: Process;
  /** Resolves when the process has exited and is not restarted. */
  readonly ended: Promise<void>;
  /** Stops restarting the process. */
  release: () => void;
}

/**
 * Returns whether a restart may help: the process was killed, ran out of memory or failed to compute. Other errors,
 * such as an invalid token, would recur, and a process that was stopped deliberately must not be restarted.
 */
function isCrash({ child, failure }: SupervisedProcess): boolean {
  return child.exitCode !== 0 && (failure === undefined || failure.code === 'engine-failed');
}

/**
 * Starts a worker process, and restarts it when it crashes.
 * @param start starts a process; called at the beginning and for each restart
 * @param onExit called when a process exits before `release` is called. `next` describes the restart, or why there is
 *   none; it is empty if a restart would not help
 */
export function superviseWorker<Process extends SupervisedProcess>(
  start: () => Process,
  clock: Clock,
  onExit: (process: Process, next: string) => void,
): WorkerSupervisor<Process> {
  const state = { process: start(), isReleased: false, endPause: () => undefined as void };
  let restartedMs: number[] = [];

  /** Returns the delay before the next restart, or undefined after too many restarts. */
  function nextDelayMs(): number | undefined {
    const now = clock.now();
    restartedMs = restartedMs.filter((restart) => now - restart < windowMs);
    if (restartedMs.length >= maxRestarts) return undefined;
    restartedMs.push(now);
    return firstDelayMs * 2 ** (restartedMs.length - 1);
  }

  async function supervise(): Promise<void> {
    for (;;) {
      const { process } = state;
      await process.exited;
      if (state.isReleased) return;
      if (!isCrash(process)) return onExit(process, '');
      const delayMs = nextDelayMs();
      if (delayMs === undefined)
        return onExit(process, `it crashed ${maxRestarts + 1} times in an hour and is not restarted`);
      onExit(process, `restarting in ${delayMs / 1000} s`);
      await new Promise<void>((resolve) => {
        const stopTimer = clock.after(delayMs, resolve);
        state.endPause = () => {
          stopTimer();
          resolve();
        };
      });
      if (state.isReleased) return;
      state.process = start();
    }
  }
  return {
    get process() {
      return state.process;
    },
    ended: supervise(),
    release() {
      state.isReleased = true;
      state.endPause();
    },
  };
}

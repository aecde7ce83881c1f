// Keeps a worker process at work: one that crashes is followed by another, but not for ever, and not where another would
// end as it did.
import type { Clock } from '../shared/clock.js';

/** A process that crashes again and again is given up: more often than this in an hour no crash is bad luck. */
const maxRestarts = 5;
const windowMs = 3_600_000;
/** Before the first one; twice as long before each other. */
const firstDelayMs = 500;

/** As much of a worker process as is needed to judge its end. */
export interface SupervisedProcess {
  child: { exitCode: number | null };
  exited: Promise<unknown>;
  /** What it said of itself when it could not go on. */
  failure: { code: string } | undefined;
}

export interface WorkerSupervisor<Process extends SupervisedProcess> {
  /** The one that is here, or was here last. */
  readonly process: Process;
  /** Resolves when it has ended and none follows. */
  readonly ended: Promise<void>;
  /** From now on none follows. */
  release: () => void;
}

/**
 * Whether another process may do better: this one was killed, ran out of memory or failed at a step. What it says of
 * itself when it cannot join (an option, a token, a version, nobody there) is as true for the next, and one that was told
 * to end is not wanted.
 */
function isCrash({ child, failure }: SupervisedProcess): boolean {
  return child.exitCode !== 0 && (failure === undefined || failure.code === 'engine-failed');
}

/**
 * @param start starts the first process and each that follows
 * @param onExit told when one has ended before it was released, and in words what follows; they are empty where nothing is
 *   to follow
 */
export function superviseWorker<Process extends SupervisedProcess>(
  start: () => Process,
  clock: Clock,
  onExit: (process: Process, next: string) => void,
): WorkerSupervisor<Process> {
  const state = { process: start(), isReleased: false, endPause: () => undefined as void };
  let restartedMs: number[] = [];

  /** Undefined where there were too many. */
  function nextDelayMs(): number | undefined {
    const now = clock.now();
    restartedMs = restartedMs.filter((moment) => now - moment < windowMs);
    if (restartedMs.length >= maxRestarts) return undefined;
    restartedMs.push(now);
    return firstDelayMs * 2 ** (restartedMs.length - 1);
  }

  async function keep(): Promise<void> {
    for (;;) {
      const { process } = state;
      await process.exited;
      if (state.isReleased) return;
      if (!isCrash(process)) return onExit(process, '');
      const delayMs = nextDelayMs();
      if (delayMs === undefined) return onExit(process, `it crashed ${maxRestarts + 1} times in an hour, none follows`);
      onExit(process, `another follows in ${delayMs / 1000} s`);
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
    ended: keep(),
    release() {
      state.isReleased = true;
      state.endPause();
    },
  };
}

// SIGINT (Ctrl-C) and SIGTERM: the first one stops a command gracefully, the second one ends the process immediately.
import { systemClock, type Clock } from '../../shared/clock.js';
import { exitStatuses, LockstepError } from '../../shared/errors.js';

/**
 * A second signal within this time of the first is ignored: npm and timeout forward a signal that the process group has
 * already received.
 */
const duplicateSignalMs = 250;

/**
 * @param onFirst called for the first signal
 * @param beforeExit called before the second signal ends the process, to end child processes
 * @returns a function that restores the default behavior
 */
export function onStopSignals(
  onFirst: (signal: NodeJS.Signals) => void,
  beforeExit?: () => void,
  clock: Pick<Clock, 'now'> = systemClock,
): () => void {
  let firstMs: number | undefined;
  let hasTurned = false;
  const onSignal = (signal: NodeJS.Signals) => {
    const nowMs = clock.now();
    if (firstMs === undefined) {
      firstMs = nowMs;
      // Signals that were queued while the process was busy arrive in the same turn of the event loop.
      setImmediate(() => (hasTurned = true));
      onFirst(signal);
    } else if (hasTurned && nowMs - firstMs > duplicateSignalMs) {
      beforeExit?.();
      process.exit(exitStatuses.interrupted);
    }
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return () => {
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
  };
}

export function interruptedBy(signal: NodeJS.Signals): LockstepError {
  return new LockstepError('interrupted', `interrupted by ${signal}`);
}

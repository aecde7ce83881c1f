// Ctrl-C and SIGTERM: the first lets a command end in good order, a second one ends this process at once.
import { systemClock, type Clock } from '../../shared/clock.js';

const interruptedStatus = 130;
/**
 * Signals closer together than this are one: npm and timeout pass on to their child what the terminal, or a signal to the
 * whole group, has brought it already.
 */
const sameSignalMs = 250;

/**
 * From now on the first signal is told, and a second one ends the process.
 * @param onFirst called once
 * @param beforeExit called before the process is ended: what must not outlive it
 * @returns what gives signals back their usual effect
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
      // Signals that waited for this process come one behind the other, however long the first one keeps it.
      setImmediate(() => (hasTurned = true));
      onFirst(signal);
    } else if (hasTurned && nowMs - firstMs > sameSignalMs) {
      beforeExit?.();
      // What a person asked for twice: nothing is waited for.
      process.exit(interruptedStatus);
    }
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return () => {
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
  };
}

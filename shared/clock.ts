// Time as a parameter, so that tests of silence and backoff need not wait.

export interface Clock {
  /** Milliseconds from some fixed moment; never goes back. */
  now(): number;
  /** Calls back every intervalMs until the returned function is called. Does not keep the process alive. */
  every(intervalMs: number, callback: () => void): () => void;
  /** Calls back once after delayMs unless the returned function is called before. */
  after(delayMs: number, callback: () => void): () => void;
}

/**
 * Milliseconds since the machine started: one clock for all of a machine's threads and processes, which nobody sets. A
 * thread's performance.now() begins with the thread.
 */
export function machineMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  every(intervalMs, callback) {
    const timer = setInterval(callback, intervalMs).unref();
    return () => clearInterval(timer);
  },
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};

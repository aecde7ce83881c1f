// The clock as a parameter, so that tests of timeouts and backoff do not have to wait.

export interface Clock {
  /** Monotonic time in milliseconds. */
  now(): number;
  /** Calls `callback` every `intervalMs` until the returned function is called. Does not keep the process alive. */
  every(intervalMs: number, callback: () => void): () => void;
  /** Calls `callback` once after `delayMs`, unless the returned function is called first. */
  after(delayMs: number, callback: () => void): () => void;
}

/**
 * Returns monotonic time in milliseconds, by a clock that all threads and processes on the machine share.
 * (performance.now() starts at 0 in each thread.)
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

// Time as a parameter, so that tests of timeouts and back-off need not wait.

export interface Clock {
  /** Monotonic time in milliseconds. */
  now(): number;
  /** Calls back every `intervalMs` until the returned function is called. Does not keep the process alive. */
  every(intervalMs: number, callback: () => void): () => void;
  /** Calls back once after `delayMs`, unless the returned function is called first. */
  after(delayMs: number, callback: () => void): () => void;
}

/**
 * Monotonic time in milliseconds, shared by all threads and processes of the machine. (A thread's performance.now()
 * starts with the thread.)
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

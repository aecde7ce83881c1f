// The clock as a parameter, so that tests of timeouts and backoff do not have to wait.
import { host } from './platform/host.js';

export interface Clock {
  /** Monotonic time in milliseconds. */
  now(): number;
  /** Calls `callback` every `intervalMs` until the returned function is called. Does not keep the process alive. */
  every(intervalMs: number, callback: () => void): () => void;
  /** Calls `callback` once after `delayMs`, unless the returned function is called first. */
  after(delayMs: number, callback: () => void): () => void;
}

export const { machineMs } = host;

export const systemClock: Clock = {
  now: () => performance.now(),
  every(intervalMs, callback) {
    const timer = setInterval(callback, intervalMs);
    host.unref(timer);
    return () => clearInterval(timer);
  },
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};

// Notices that the other side of a connection has been silent for too long. Coordinator and workers use it.
import type { Clock } from '../clock.js';

/** Checks are at most this far apart, and at most a quarter of the timeout. */
const maxCheckIntervalMs = 2_000;

export class HeartbeatMonitor {
  readonly #clock: Clock;
  readonly #stopTimer: () => void;
  #isStopped = false;
  #lastHeardMs: number;

  /** @param onSilence called once, timeoutMs or a little more after the last heard() */
  constructor(clock: Clock, timeoutMs: number, onSilence: () => void) {
    this.#clock = clock;
    this.#lastHeardMs = clock.now();
    const isSilent = () => !this.#isStopped && this.silentMs > timeoutMs;
    this.#stopTimer = clock.every(Math.min(timeoutMs / 4, maxCheckIntervalMs), () => {
      if (!isSilent()) return;
      // Timers run before sockets are read. After a long computation in this process, data may still be unread: check
      // again once it has been read.
      setImmediate(() =>
        setImmediate(() => {
          if (!isSilent()) return;
          this.stop();
          onSilence();
        }),
      );
    });
  }

  /** Milliseconds since anything arrived. */
  get silentMs(): number {
    return this.#clock.now() - this.#lastHeardMs;
  }

  heard(): void {
    this.#lastHeardMs = this.#clock.now();
  }

  stop(): void {
    this.#isStopped = true;
    this.#stopTimer();
  }
}

// Tells when the other side of a connection has been silent for too long. Both sides use it.
import type { Clock } from '../clock.js';

/** It looks at least this often, and four times in a short timeout. */
const maxLookMs = 2_000;

export class HeartbeatMonitor {
  readonly #clock: Clock;
  readonly #stop: () => void;
  #lastHeardMs: number;

  /** @param onSilence called once, timeoutMs or a little more after the last heard() */
  constructor(clock: Clock, timeoutMs: number, onSilence: (silentMs: number) => void) {
    this.#clock = clock;
    this.#lastHeardMs = clock.now();
    let ended = false;
    const isSilent = () => clock.now() - this.#lastHeardMs > timeoutMs;
    const stopTimer = clock.every(Math.min(timeoutMs / 4, maxLookMs), () => {
      if (!isSilent()) return;
      // Timers run before sockets are read: after a long computation in this process the other side's words may lie
      // unread. Look again once they have been.
      setImmediate(() =>
        setImmediate(() => {
          if (ended || !isSilent()) return;
          this.stop();
          onSilence(clock.now() - this.#lastHeardMs);
        }),
      );
    });
    this.#stop = () => {
      ended = true;
      stopTimer();
    };
  }

  /** Since anything was heard. */
  get silentMs(): number {
    return this.#clock.now() - this.#lastHeardMs;
  }

  heard(): void {
    this.#lastHeardMs = this.#clock.now();
  }

  stop(): void {
    this.#stop();
  }
}

// Detects that the other side of a connection has been silent for too long. Used by the coordinator and by workers.
import type { Clock } from '../../clock.js';
import { host } from '../../platform/host.js';

/** Maximum interval between checks. The interval is also at most a quarter of the timeout. */
const maxCheckIntervalMs = 2_000;

export class HeartbeatMonitor {
  readonly #clock: Clock;
  readonly #stopTimer: () => void;
  #isStopped = false;
  #lastHeardMs: number;

  /** @param onSilence called once, `timeoutMs` or slightly longer after the last call to heard() */
  constructor(clock: Clock, timeoutMs: number, onSilence: () => void) {
    this.#clock = clock;
    this.#lastHeardMs = clock.now();
    const isSilent = () => !this.#isStopped && this.silentMs > timeoutMs;
    const check = async (): Promise<void> => {
      if (!isSilent()) return;
      // Timers run before sockets are read. After a long computation in this process, unread data may be waiting, so
      // check again after it has been read.
      await host.yieldToEvents();
      await host.yieldToEvents();
      if (!isSilent()) return;
      this.stop();
      onSilence();
    };
    this.#stopTimer = clock.every(Math.min(timeoutMs / 4, maxCheckIntervalMs), () => void check());
  }

  /** Milliseconds since data last arrived. */
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

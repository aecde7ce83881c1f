// The time between a connection's partial sums: waiting for weights, sending, and preparing the next step.
import { machineMs } from '../shared/clock.js';
import type { TimingMessage } from '../shared/protocol/messages.js';

export class PhaseTimer {
  #answeredMs: number | undefined;
  #waitMs = 0;
  #sendMs = 0;
  #preparations: TimingMessage['preparations'] = [];

  weightsReceived(): void {
    if (this.#answeredMs !== undefined) this.#waitMs += machineMs() - this.#answeredMs;
    this.#answeredMs = undefined;
  }

  /** A partial sum is handed to the connection. @returns a function to call when it has been sent */
  sending(): () => void {
    const startedMs = machineMs();
    this.#answeredMs = startedMs;
    return () => {
      this.#sendMs += machineMs() - startedMs;
    };
  }

  /** Times a preparation. */
  async preparing(prepare: () => Promise<void>): Promise<void> {
    const startedMs = machineMs();
    await prepare();
    this.#preparations.push({ startedMs, endedMs: machineMs() });
  }

  /** Returns what was measured since the last call. */
  take(): { waitMs: number; sendMs: number; preparations: TimingMessage['preparations'] } {
    const taken = { waitMs: this.#waitMs, sendMs: this.#sendMs, preparations: this.#preparations };
    this.#waitMs = 0;
    this.#sendMs = 0;
    this.#preparations = [];
    return taken;
  }
}

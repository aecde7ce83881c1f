// Measures the time that a worker spends outside computation: waiting for weights, sending partial sums, and preparing
// the next step.
import { machineMs } from '../shared/clock.js';
import type { TimingMessage } from '../shared/protocol/messages.js';

export class PhaseTimer {
  #sentMs: number | undefined;
  #measured = nothingMeasured();

  weightsReceived(): void {
    if (this.#sentMs !== undefined) this.#measured.waitMs += machineMs() - this.#sentMs;
    this.#sentMs = undefined;
  }

  /** Starts timing the sending of a partial sum. Returns a function to call when the partial sum has been sent. */
  sending(): () => void {
    const startedMs = machineMs();
    this.#sentMs = startedMs;
    return () => {
      this.#measured.sendMs += machineMs() - startedMs;
    };
  }

  async preparing(prepare: () => Promise<void>): Promise<void> {
    const startedMs = machineMs();
    await prepare();
    this.#measured.preparations.push({ startedMs, endedMs: machineMs() });
  }

  /** Returns the measurements since the last call and starts over. */
  take(): ReturnType<typeof nothingMeasured> {
    const measured = this.#measured;
    this.#measured = nothingMeasured();
    return measured;
  }
}

function nothingMeasured() {
  return { waitMs: 0, sendMs: 0, preparations: [] as TimingMessage['preparations'] };
}

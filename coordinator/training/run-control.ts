// What an operator wants of the training: a state machine that the loop asks between steps. Pure: no sockets, no clock.
// Whatever is asked for, and whenever, the weights stay what they would have been: steps are put off, never changed.

/** What may be asked for. Stopping is the run's own abort signal, which Ctrl-C uses too. */
export type ControlRequest = 'pause' | 'continue' | 'checkpoint';

/**
 * - `running`: one step after the other.
 * - `pausing`: the running step is the last one for now.
 * - `paused`: the loop waits; workers come, go and answer pings as ever.
 */
export type ControlPhase = 'running' | 'pausing' | 'paused';

/** What the loop is to do next. */
export type ControlOrder = 'step' | 'save' | 'wait';

export class RunControl {
  #phase: ControlPhase = 'running';
  #isSaveDue = false;
  /** Of the loop that waits. */
  #wake: () => void = () => undefined;

  get phase(): ControlPhase {
    return this.#phase;
  }

  /** @returns why this cannot be had now, or undefined where it can */
  ask(request: ControlRequest): string | undefined {
    switch (request) {
      case 'pause':
        if (this.#phase !== 'running') return `the run is ${this.#phase} already`;
        this.#phase = 'pausing';
        break;
      case 'continue':
        if (this.#phase === 'running') return 'the run is not paused';
        this.#phase = 'running';
        break;
      case 'checkpoint':
        this.#isSaveDue = true;
        break;
      default:
        request satisfies never;
    }
    this.#wake();
    return undefined;
  }

  /** To be asked between two steps, until the answer is `step`; the answer counts as done. */
  next(): ControlOrder {
    if (this.#isSaveDue) {
      this.#isSaveDue = false;
      return 'save';
    }
    if (this.#phase === 'running') return 'step';
    this.#phase = 'paused';
    return 'wait';
  }

  /** Resolves when something is asked for, or the signal aborts. */
  async changed(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    await new Promise<void>((resolve) => {
      const wake = () => {
        signal.removeEventListener('abort', wake);
        resolve();
      };
      this.#wake = wake;
      signal.addEventListener('abort', wake);
    });
  }
}

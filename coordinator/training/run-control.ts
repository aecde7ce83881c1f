// Operators' requests to the training loop: a state machine that the loop reads between steps. Pure: no sockets, no clock.
// Requests delay steps and never change them, so the weights stay the same.

/** Stopping is not among them: it is the session's abort signal, which Ctrl-C uses too. */
export type ControlRequest = 'pause' | 'continue' | 'checkpoint';

/**
 * - `running`: one step after another.
 * - `pausing`: the current step is the last one before the pause.
 * - `paused`: the loop waits; workers come, go and answer heartbeats as always.
 */
export type ControlPhase = 'running' | 'pausing' | 'paused';

/** What the loop does next. */
export type ControlAction = 'step' | 'save' | 'wait';

export class RunControl {
  #phase: ControlPhase = 'running';
  #isSaveDue = false;
  /** Wakes the waiting loop. */
  #wake: () => void = () => undefined;

  get phase(): ControlPhase {
    return this.#phase;
  }

  /** @returns why the request is refused; undefined if it was accepted */
  request(request: ControlRequest): string | undefined {
    switch (request) {
      case 'pause':
        if (this.#phase !== 'running') return `the run is already ${this.#phase}`;
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

  /** To be called between steps until it returns `step`; what it returns counts as done. */
  next(): ControlAction {
    if (this.#isSaveDue) {
      this.#isSaveDue = false;
      return 'save';
    }
    if (this.#phase === 'running') return 'step';
    this.#phase = 'paused';
    return 'wait';
  }

  /** Resolves at the next request, or when the signal is aborted. */
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

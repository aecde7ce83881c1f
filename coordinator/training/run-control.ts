// State machine for operators' requests, which the training loop applies between steps. Pure: no sockets, no clock.
// Requests can delay steps but never change their results, so they do not affect the weights.

/** An operator's request to the training loop. Stopping uses the session's abort signal instead, as Ctrl-C does. */
export type ControlRequest = 'pause' | 'continue' | 'checkpoint';

/**
 * State of the training loop:
 * - `running`: the loop makes steps.
 * - `pausing`: the loop will pause after the current step.
 * - `paused`: the loop waits; workers can still join, leave and answer heartbeats.
 */
export type ControlPhase = 'running' | 'pausing' | 'paused';

/** What the training loop must do next. */
export type ControlAction = 'step' | 'save' | 'wait';

export class RunControl {
  #phase: ControlPhase = 'running';
  #isSaveDue = false;
  /** Wakes the training loop if it is waiting. */
  #wake: () => void = () => undefined;

  get phase(): ControlPhase {
    return this.#phase;
  }

  /**
   * Accepts or refuses a request.
   * @returns why the request is refused; undefined if it was accepted
   */
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

  /** Returns the action that the caller must perform next. Call it between steps until it returns `step`. */
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

// Joins a run, and leaves and rejoins it as the page pauses and resumes the worker.
import type { WorkerSummary } from '../../shared/worker/events.js';
import type { PageMessage } from '../../shared/worker/tab-messages.js';
import type { ReconnectingWorker } from '../reconnecting-worker.js';

type Membership = Pick<ReconnectingWorker, 'run' | 'stop' | 'reconnectNow'>;

export class TabWorker {
  readonly #join: () => Membership;
  readonly #onPause: (isPaused: boolean) => void;
  #worker: Membership | undefined;
  #isPaused = false;
  /** Whether the current worker has been told to leave because of a pause, which may be over already. */
  #hasLeft = false;
  #isStopped = false;
  #endPause: () => void = () => undefined;

  /**
   * @param join returns a worker that will join the run
   * @param onPause called when the worker has left the run because of a pause, and when the pause is over
   */
  constructor(join: () => Membership, onPause: (isPaused: boolean) => void) {
    this.#join = join;
    this.#onPause = onPause;
  }

  /** Runs until the coordinator says goodbye or the page stops the worker. Throws the errors of ReconnectingWorker.run. */
  async run(): Promise<WorkerSummary> {
    let images = 0;
    while (true) {
      this.#hasLeft = false;
      this.#worker = this.#join();
      const summary = await this.#worker.run();
      images += summary.images;
      if (this.#hasLeft && !this.#isStopped) await this.#pauseOver();
      if (!this.#hasLeft || this.#isStopped) return { ...summary, images };
    }
  }

  receive(message: Exclude<PageMessage, { type: 'start' }>): void {
    switch (message.type) {
      case 'pause':
        this.#isPaused = true;
        this.#hasLeft = true;
        return this.#worker?.stop('paused');
      case 'resume':
        this.#isPaused = false;
        return this.#endPause();
      case 'online':
        return this.#worker?.reconnectNow();
      case 'stop':
        this.#isStopped = true;
        this.#worker?.stop(message.reason);
        return this.#endPause();
      default:
        message satisfies never;
    }
  }

  /** Resolves when the worker is not paused anymore, or has been stopped. */
  async #pauseOver(): Promise<void> {
    this.#onPause(true);
    while (this.#isPaused && !this.#isStopped) {
      await new Promise<void>((resolve) => {
        this.#endPause = resolve;
      });
    }
    if (!this.#isStopped) this.#onPause(false);
  }
}

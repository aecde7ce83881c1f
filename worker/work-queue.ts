// Runs jobs one after the other. Knows nothing about what they do.
import { ProtocolError } from '../shared/errors.js';

/** A step has at most 4,096 slices, and jobs of finished steps are dropped as soon as the current one ends. */
const maxWaitingJobs = 1 << 14;

/** @typeParam Device passed to every job; the first one waits until it is open */
export class WorkQueue<Device> {
  readonly #device: Promise<Device>;
  readonly #onFailure: (error: unknown) => void;
  #tail: Promise<void>;
  #waiting = 0;
  #firstStep = 0;
  #isClosed = false;

  /** @param onFailure called when the device cannot be opened or a job fails */
  constructor(device: Promise<Device>, onFailure: (error: unknown) => void) {
    this.#device = device;
    this.#onFailure = onFailure;
    this.#tail = device.then(() => undefined, onFailure);
  }

  /** Whether no job waits for the current one to end. */
  get isEmpty(): boolean {
    return this.#waiting === 0;
  }

  /** Adds a job that belongs to a step. */
  add(step: number, job: (device: Device) => Promise<void>): void {
    if (++this.#waiting > maxWaitingJobs) throw new ProtocolError(`more than ${maxWaitingJobs} requests are waiting`);
    this.#tail = this.#tail.then(() => this.#run(step, job));
  }

  async #run(step: number, job: (device: Device) => Promise<void>): Promise<void> {
    // The previous job may have blocked this thread: handle the messages that have arrived since.
    await new Promise((resolve) => setImmediate(resolve));
    this.#waiting--;
    if (this.#isClosed || step < this.#firstStep) return;
    try {
      await job(await this.#device);
    } catch (error) {
      this.#onFailure(error);
    }
  }

  /** Drops waiting jobs of earlier steps. */
  dropBefore(step: number): void {
    this.#firstStep = step;
  }

  /** Drops all waiting jobs. Resolves when nothing runs any more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#tail;
  }
}

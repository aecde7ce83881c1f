// Runs jobs one at a time, in the order in which they were added. Knows nothing about what the jobs do.
import { ProtocolError } from '../shared/errors.js';
import { host } from '../shared/platform/host.js';

/**
 * Maximum number of waiting jobs. A step has at most 4,096 slices, and jobs for completed steps are dropped as soon as
 * the current job ends.
 */
const maxWaitingJobs = 1 << 14;

/** @typeParam Device type of the device that is passed to each job; no job starts before the device is open */
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

  /** True if no job is waiting. A job may still be running. */
  get isEmpty(): boolean {
    return this.#waiting === 0;
  }

  /** Adds a job for a step. Throws ProtocolError if too many jobs are waiting. */
  add(step: number, job: (device: Device) => Promise<void>): void {
    if (++this.#waiting > maxWaitingJobs) throw new ProtocolError(`more than ${maxWaitingJobs} requests are waiting`);
    this.#tail = this.#tail.then(() => this.#run(step, job));
  }

  async #run(step: number, job: (device: Device) => Promise<void>): Promise<void> {
    // The previous job may have blocked this thread: first handle the messages that arrived in the meantime.
    await host.yieldToEvents();
    this.#waiting--;
    if (!this.isNeeded(step)) return;
    try {
      await job(await this.#device);
    } catch (error) {
      this.#onFailure(error);
    }
  }

  /** Whether jobs for a step are still run. */
  isNeeded(step: number): boolean {
    return !this.#isClosed && step >= this.#firstStep;
  }

  /** Drops waiting jobs for earlier steps. */
  dropBefore(step: number): void {
    this.#firstStep = Math.max(this.#firstStep, step);
  }

  /** Drops all waiting jobs. Resolves when the current job has ended. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#tail;
  }
}

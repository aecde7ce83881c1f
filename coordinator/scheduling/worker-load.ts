// Tracks one worker's outstanding assignments, and measures its speed from its answers. Pure: the caller passes the
// time.
import { WorkerSpeed } from './worker-speed.js';
import { WorkerTime } from './worker-time.js';

/** The scheduler's view of a connected worker. */
export interface WorkerView {
  readonly id: number;
  readonly name: string;
  readonly load: WorkerLoad;
  /** Hashes of the shards that the worker has, or will fetch because it was assigned them for evaluation. */
  readonly heldShards: ReadonlySet<string>;
}

export class WorkerLoad {
  readonly speed = new WorkerSpeed();
  readonly time = new WorkerTime();
  #weightsStep = -1;
  #pendingRanges = 0;
  #pendingEvaluations = 0;
  #assignedMs = 0;
  #computeMs = 0;

  /** Step of the last weights sent to the worker; -1 if none have been sent. */
  get weightsStep(): number {
    return this.#weightsStep;
  }

  get isBusy(): boolean {
    return this.#pendingRanges > 0 || this.#pendingEvaluations > 0;
  }

  /** Whether the worker is still computing gradients for an earlier step, which other workers have finished. */
  isBusyBefore(step: number): boolean {
    return this.#pendingRanges > 0 && this.#weightsStep < step;
  }

  /**
   * Records that the worker was sent weights. Those of another step make it drop any work that it has not started.
   */
  weightsSent(step: number): void {
    if (step === this.#weightsStep) return;
    this.#weightsStep = step;
    this.#pendingRanges = 0;
    this.#pendingEvaluations = 0;
  }

  rangesAssigned(count: number, nowMs: number): void {
    if (this.#pendingRanges === 0) {
      this.#assignedMs = nowMs;
      this.#computeMs = 0;
      this.time.assigned(nowMs);
    }
    this.#pendingRanges += count;
  }

  /** Records that the worker has dropped its work for a step. */
  cancelled(step: number): void {
    if (step === this.#weightsStep) this.#pendingRanges = 0;
  }

  evaluationAssigned(nowMs: number): void {
    if (this.#pendingEvaluations++ === 0) this.time.assigned(nowMs);
  }

  /**
   * Records the arrival of a gradient over this number of images. A late answer, to an earlier step, is used only to
   * measure the worker's speed.
   * @param computeMs computation time, added up over all workers that computed the gradient
   */
  rangeAnswered(step: number, images: number, computeMs: number, nowMs: number): void {
    this.speed.computed(images, computeMs);
    if (step !== this.#weightsStep || this.#pendingRanges === 0) return;
    this.#computeMs += computeMs / this.speed.parallelism;
    if (--this.#pendingRanges > 0) return;
    this.speed.waited(Math.max(0, nowMs - this.#assignedMs - this.#computeMs));
    this.time.answered(nowMs, this.#computeMs);
  }

  /**
   * Records an evaluation answer. Requests and answers are only a few bytes long, so all of the time counts as
   * computation.
   */
  evaluationAnswered(step: number, nowMs: number): void {
    if (step !== this.#weightsStep || this.#pendingEvaluations === 0) return;
    if (--this.#pendingEvaluations === 0) this.time.answered(nowMs, Infinity);
  }
}

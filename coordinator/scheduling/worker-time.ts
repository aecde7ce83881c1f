// Shares of a worker's time spent on computation, network and waiting, as observed by the coordinator. The worker
// reports its computation time; the rest of the time from assignment to answer counts as network time, and the time
// from an answer to the next assignment as waiting. Pure.
import type { TimeShares } from '../../shared/monitoring/run-status.js';

/** Number of latest assignments from which the shares are computed: about the last minute of a typical run. */
const windowSize = 20;

interface Answered {
  assignedMs: number;
  answeredMs: number;
  computeMs: number;
}

export class WorkerTime {
  readonly #answered: Answered[] = [];
  #assignedMs: number | undefined;

  /** Records that the worker was assigned work; a busy worker drops earlier work that it has not started. */
  assigned(nowMs: number): void {
    // Dropped work is never answered. Assume that the worker was computing the whole time.
    if (this.#assignedMs !== undefined) this.answered(nowMs, nowMs - this.#assignedMs);
    this.#assignedMs = nowMs;
  }

  /** Records that the worker has answered all its assignments, and the computation time that it reported. */
  answered(nowMs: number, computeMs: number): void {
    const assignedMs = this.#assignedMs;
    if (assignedMs === undefined) return;
    this.#assignedMs = undefined;
    this.#answered.push({ assignedMs, answeredMs: nowMs, computeMs: Math.min(computeMs, nowMs - assignedMs) });
    if (this.#answered.length > windowSize) this.#answered.shift();
  }

  /**
   * Returns the shares of the time from the oldest assignment in the window until now or, if the worker is busy, until
   * its current assignment. Returns null if no assignment has been answered.
   */
  shares(nowMs: number): TimeShares | null {
    const first = this.#answered.at(0);
    const totalMs = first === undefined ? 0 : (this.#assignedMs ?? nowMs) - first.assignedMs;
    if (totalMs <= 0) return null;
    const computeMs = this.#answered.reduce((sum, work) => sum + work.computeMs, 0);
    const busyMs = this.#answered.reduce((sum, work) => sum + work.answeredMs - work.assignedMs, 0);
    return {
      compute: computeMs / totalMs,
      network: (busyMs - computeMs) / totalMs,
      waiting: (totalMs - busyMs) / totalMs,
    };
  }
}

// The shares of a worker's time spent on computation, network and waiting, as the coordinator sees them: the worker reports
// its computation, the rest between assignment and answer is network, and between an answer and the next assignment the
// worker waits. Pure.
import type { TimeShares } from '../../shared/monitoring/run-status.js';

/** Assignments the shares are taken over: the last minute or so of a typical run. */
const windowSize = 20;

interface Answered {
  assignedMs: number;
  answeredMs: number;
  computeMs: number;
}

export class WorkerTime {
  readonly #answered: Answered[] = [];
  #assignedMs: number | undefined;

  /** The idle worker was assigned work, or is to drop the work it has not started. */
  assigned(nowMs: number): void {
    // Dropped work is never answered; the worker computed all the time.
    if (this.#assignedMs !== undefined) this.answered(nowMs, nowMs - this.#assignedMs);
    this.#assignedMs = nowMs;
  }

  /** The worker answered everything it was assigned and reports this much computation. */
  answered(nowMs: number, computeMs: number): void {
    const assignedMs = this.#assignedMs;
    if (assignedMs === undefined) return;
    this.#assignedMs = undefined;
    this.#answered.push({ assignedMs, answeredMs: nowMs, computeMs: Math.min(computeMs, nowMs - assignedMs) });
    if (this.#answered.length > windowSize) this.#answered.shift();
  }

  /** Shares of the time from the oldest assignment in the window until now, or until the running one; null without any. */
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

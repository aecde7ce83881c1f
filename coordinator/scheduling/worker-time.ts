// Where a worker's time goes, as far as the coordinator can tell: what it computed is its own word, the rest of the time
// between an order and the answer was spent on the way, and between an answer and the next order it waited. Pure.
import type { TimeShares } from '../../shared/monitoring/run-status.js';

/** Orders that count: the latest minute or so of a usual run. */
const kept = 20;

interface Answered {
  orderedMs: number;
  answeredMs: number;
  computeMs: number;
}

export class WorkerTime {
  readonly #answered: Answered[] = [];
  #orderedMs: number | undefined;

  /** It was asked for something, having had nothing to do; or it is to drop what it has not begun. */
  ordered(nowMs: number): void {
    // What it was at is never answered for: it computed all the time.
    if (this.#orderedMs !== undefined) this.answered(nowMs, nowMs - this.#orderedMs);
    this.#orderedMs = nowMs;
  }

  /** It has answered all it was asked for, and says to have computed for so long. */
  answered(nowMs: number, computeMs: number): void {
    const orderedMs = this.#orderedMs;
    if (orderedMs === undefined) return;
    this.#orderedMs = undefined;
    this.#answered.push({ orderedMs, answeredMs: nowMs, computeMs: Math.min(computeMs, nowMs - orderedMs) });
    if (this.#answered.length > kept) this.#answered.shift();
  }

  /** Over the latest orders, up to now or to the one that is being computed; null where there are none. */
  shares(nowMs: number): TimeShares | null {
    const first = this.#answered.at(0);
    const wholeMs = first === undefined ? 0 : (this.#orderedMs ?? nowMs) - first.orderedMs;
    if (wholeMs <= 0) return null;
    const computeMs = this.#answered.reduce((sum, order) => sum + order.computeMs, 0);
    const busyMs = this.#answered.reduce((sum, order) => sum + order.answeredMs - order.orderedMs, 0);
    return {
      compute: computeMs / wholeMs,
      network: (busyMs - computeMs) / wholeMs,
      waiting: (wholeMs - busyMs) / wholeMs,
    };
  }
}

// A step as shown on the dashboard: which worker was assigned which slices, when, why, and with what outcome.

/**
 * Why a range was assigned to a worker: `assigned` at the start of the step; `reassigned` because another worker left;
 * `speculative` because another worker is taking too long; `probe` only to measure the worker's speed, without using
 * its answer.
 */
export type WorkReason = 'assigned' | 'reassigned' | 'speculative' | 'probe';

/**
 * Outcome of the work: `counted` if the answer was used; `unneeded` if another answer came first or the work was a
 * probe; `lost` if the worker left.
 */
export type WorkEnd = 'counted' | 'unneeded' | 'lost';

/** A slice range assigned to a worker. */
export interface StepBar {
  /** ID of the worker. */
  worker: number;
  name: string;
  firstSlice: number;
  sliceCount: number;
  reason: WorkReason;
  /**
   * Time of the assignment, in milliseconds since the start of the step. A worker computes its ranges one after
   * another.
   */
  assignedMs: number;
  /** End of the work, in milliseconds since the start of the step; null while the work is in progress. */
  endedMs: number | null;
  end: WorkEnd | null;
  /** Whether the work took so long that other workers were assigned the same slices. */
  isLate: boolean;
}

export interface StepView {
  /** One-based number of the step. */
  step: number;
  /** Milliseconds since the start of the step; after the step, how long it took to collect the gradient. */
  elapsedMs: number;
  isOver: boolean;
  /** Assignments, in the order in which they were made. */
  bars: StepBar[];
}

/** Returns whether, in the step, a worker left during its work, or slices were reassigned or computed speculatively. */
export function hasRecovery({ bars }: StepView): boolean {
  return bars.some(({ reason, end }) => reason === 'reassigned' || reason === 'speculative' || end === 'lost');
}

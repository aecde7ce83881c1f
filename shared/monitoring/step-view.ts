// One step as the dashboard shows it: which worker was assigned which slices, when, why, and with what outcome.

/**
 * Why a worker was assigned a range: at the start of the step; because another worker left; because another worker takes
 * too long; or only to measure the worker, in which case its answer does not count.
 */
export type WorkReason = 'assigned' | 'reassigned' | 'speculative' | 'probe';

/** The outcome: counted; not needed, because another answer came first or it was a probe; or lost with its worker. */
export type WorkEnd = 'counted' | 'unneeded' | 'lost';

/** A slice range that a worker was assigned. */
export interface StepBar {
  /** The worker's id. */
  worker: number;
  name: string;
  firstSlice: number;
  sliceCount: number;
  reason: WorkReason;
  /** Milliseconds since the start of the step. A worker computes one bar after another. */
  assignedMs: number;
  /** Null while it is being computed. */
  endedMs: number | null;
  end: WorkEnd | null;
  /** Whether it took so long that others were assigned the same slices. */
  isLate: boolean;
}

export interface StepView {
  /** Counted from 1. */
  step: number;
  /** Milliseconds since the start of the step; once it is over, how long it took to collect the gradient. */
  elapsedMs: number;
  isOver: boolean;
  /** In the order of assignment. */
  bars: StepBar[];
}

/** Whether a worker left or took too long in the step, and others computed its slices. */
export function hasRecovery({ bars }: StepView): boolean {
  return bars.some(({ reason, end }) => reason === 'reassigned' || reason === 'speculative' || end === 'lost');
}

// One step as a picture: who was asked for which slices, when, why, and what came of it.

/**
 * Why a worker was asked: the step's own division; a worker that left before it had answered; one that is late; or to see
 * how fast it is, which is nobody's loss if it fails.
 */
export type WorkReason = 'dealt' | 'takeover' | 'late' | 'trial';

/** How it ended: counted; too late to count, or a trial; or the worker left. */
export type WorkEnd = 'counted' | 'unneeded' | 'lost';

/** A node of the reduction tree that a worker was asked for. */
export interface StepBar {
  /** The worker's id. */
  worker: number;
  name: string;
  firstSlice: number;
  sliceCount: number;
  reason: WorkReason;
  /** Milliseconds since the step began. A worker computes one bar after the other. */
  askedMs: number;
  /** Null while it is being computed. */
  endedMs: number | null;
  end: WorkEnd | null;
  /** Others were asked for the same because it took so long. */
  isLate: boolean;
}

export interface StepView {
  /** Counted from 1. */
  step: number;
  /** Milliseconds since the step began; where it is over, how long it took to collect. */
  elapsedMs: number;
  isOver: boolean;
  /** In the order in which they were asked for. */
  bars: StepBar[];
}

/** Whether more happened than that everybody answered what was dealt. */
export function isEventful({ bars }: StepView): boolean {
  return bars.some(({ reason, end }) => reason === 'takeover' || reason === 'late' || end === 'lost');
}

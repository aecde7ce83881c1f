// What connected workers are doing in the current step, for the status of a run and for what a relay reports.
import type { ConnectedState } from '../../shared/monitoring/worker-states.js';
import type { WorkerConnection } from '../connections/worker-connection.js';
import type { StepTracker } from './step-tracker.js';

export interface ActivitySources {
  tracker: StepTracker;
  /** Number of updates made. */
  step: number;
  /** Whether a gradient is being computed, and not an evaluation. */
  isTraining: boolean;
}

/** @param hasSlices whether the worker was assigned slices in the current step */
export function stateOf(
  { id, load }: WorkerConnection,
  { tracker, step, isTraining }: ActivitySources,
  hasSlices: boolean,
): ConnectedState {
  const isLate = tracker.current?.bars.some((bar) => bar.worker === id && bar.isLate && bar.end === null);
  if (isLate === true || load.isBusyBefore(step)) return 'late';
  // A spare worker occasionally computes a probe, which does not make it `working`.
  if (load.isBusy && (hasSlices || !isTraining)) return 'working';
  return hasSlices || tracker.current === undefined ? 'idle' : 'spare';
}

/**
 * Returns, for each slice of the current step, the workers that it was assigned to and the worker whose answer
 * counted; empty before the first step.
 */
export function sliceStatuses(
  tracker: StepTracker,
  sliceCount: number,
): { workers: number[]; answeredBy: number | null }[] {
  if (tracker.current === undefined) return [];
  const slices = Array.from({ length: sliceCount }, () => ({
    workers: [] as number[],
    answeredBy: null as number | null,
  }));
  for (const bar of tracker.current.bars) {
    if (bar.reason === 'probe') continue;
    for (const slice of slices.slice(bar.firstSlice, bar.firstSlice + bar.sliceCount)) {
      slice.workers.push(bar.worker);
      if (bar.end === 'counted') slice.answeredBy = bar.worker;
    }
  }
  return slices;
}

/** Returns the slices that each worker was assigned in the current step, by worker id. */
export function assignedSlices(tracker: StepTracker, sliceCount: number): Map<number, number[]> {
  const assigned = new Map<number, number[]>();
  for (const [slice, { workers }] of sliceStatuses(tracker, sliceCount).entries()) {
    for (const worker of new Set(workers)) assigned.set(worker, [...(assigned.get(worker) ?? []), slice]);
  }
  return assigned;
}

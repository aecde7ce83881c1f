// --timeline and --timeline-steps: which steps are recorded.
import { LockstepError } from '../../../shared/errors.js';

/** Steps counted from 1, both included. */
export interface TimelineWindow {
  from: number;
  to: number;
}

export interface TimelineOptions {
  /** Written when the last of the steps is done, or the run ends before. */
  file: string;
  /** From the tenth step on 21 unless said; of a short run the last ones. */
  steps?: TimelineWindow | undefined;
}

/** Steps before the first that is recorded unless said: shards are fetched and engines warmed up. */
const passedOver = 9;
const usualSteps = 21;

/**
 * Which steps are recorded.
 * @param made updates made before this coordinator's first
 * Throws `bad-option` where there are no such steps.
 */
export function windowOf(steps: TimelineWindow | undefined, made: number, total: number): TimelineWindow {
  if (steps === undefined) {
    const from = Math.max(made + 1, Math.min(made + 1 + passedOver, total - usualSteps + 1));
    return { from, to: Math.min(total, from + usualSteps - 1) };
  }
  const { from, to } = steps;
  if (from > total || to <= made) {
    throw new LockstepError(
      'bad-option',
      `--timeline-steps is ${from}-${to}: this run makes steps ${made + 1} to ${total}`,
    );
  }
  return { from: Math.max(from, made + 1), to: Math.min(to, total) };
}

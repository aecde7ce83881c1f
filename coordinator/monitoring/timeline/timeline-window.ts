// Which steps a timeline records.
import { LockstepError } from '../../../shared/errors.js';

/** First and last step, counted from 1. */
export interface TimelineWindow {
  from: number;
  to: number;
}

export interface TimelineOptions {
  /** Written after the last of the steps, or when the run ends before that. */
  file: string;
  /** By default 21 steps from the 10th on, or the last 21 of a short run. */
  steps?: TimelineWindow | undefined;
}

/** Steps before the default window, in which workers fetch shards and engines warm up. */
const warmUpSteps = 9;
const defaultSteps = 21;

/**
 * Returns the steps to record.
 * @param made updates made before this coordinator started
 * Throws `bad-option` if the run does not make any of the steps.
 */
export function windowOf(steps: TimelineWindow | undefined, made: number, total: number): TimelineWindow {
  if (steps === undefined) {
    const from = Math.max(made + 1, Math.min(made + 1 + warmUpSteps, total - defaultSteps + 1));
    return { from, to: Math.min(total, from + defaultSteps - 1) };
  }
  const { from, to } = steps;
  if (from > total || to <= made) {
    throw new LockstepError(
      'bad-option',
      `\`timeline.steps\` is ${from}-${to}, but this run makes steps ${made + 1} to ${total}`,
    );
  }
  return { from: Math.max(from, made + 1), to: Math.min(to, total) };
}

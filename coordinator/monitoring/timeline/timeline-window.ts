// Which steps a timeline records.
import { LockstepError } from '../../../shared/errors.js';

/** First and last step to record, both one-based. */
export interface TimelineWindow {
  from: number;
  to: number;
}

export interface TimelineOptions {
  /** Path of the file, which is written after the last recorded step or, if the run ends earlier, at its end. */
  file: string;
  /** Steps to record; by default, 21 steps starting with step 10, or the last 21 steps of a short run. */
  steps?: TimelineWindow | undefined;
}

/** Number of steps before the default window, during which workers fetch shards and engines warm up. */
const warmUpSteps = 9;
const defaultSteps = 21;

/**
 * Returns the steps to record.
 * Throws `bad-option` if the run includes none of the given steps.
 * @param made number of updates made before this coordinator started
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

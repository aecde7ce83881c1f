// Determines which steps a timeline records.
import { LockstepError } from '../../../shared/errors.js';

/** First and last step to record, both one-based. */
export interface TimelineWindow {
  from: number;
  to: number;
}

export interface TimelineOptions {
  /** Path of the output file. It is written after the last step to record, or when the run ends if that is earlier. */
  file: string;
  /**
   * Steps to record; by default, 21 steps starting with the tenth step since the run started or resumed, or the last 21
   * steps of a short run.
   */
  steps?: TimelineWindow | undefined;
}

/** Number of steps before the default window, during which workers fetch shards and engines warm up. */
const warmUpSteps = 9;
const defaultSteps = 21;

/**
 * Returns the steps to record: those of the given steps that the run has yet to make, or the default ones.
 * Throws `bad-option` if the run has none of the given steps left to make.
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

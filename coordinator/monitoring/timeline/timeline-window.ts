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
   * steps of a short run. In a run with local steps, whole rounds are recorded, and by default, 21 rounds.
   */
  steps?: TimelineWindow | undefined;
}

/** Number of rounds before the default window, during which workers fetch shards and engines warm up. */
const warmUpRounds = 9;
const defaultRounds = 21;

/**
 * Returns the steps to record: those of the given steps that the run has yet to make, or the default ones.
 * Throws `bad-option` if the run has none of the given steps left to make.
 * @param made number of steps made before this coordinator started
 * @param roundEnd returns the number of steps made at the end of the round that follows a number of steps
 */
export function windowOf(
  steps: TimelineWindow | undefined,
  made: number,
  total: number,
  roundEnd = (step: number) => step + 1,
): TimelineWindow {
  const rounds: TimelineWindow[] = [];
  for (let step = made; step < total; step = roundEnd(step)) rounds.push({ from: step + 1, to: roundEnd(step) });
  if (steps === undefined) {
    const first = Math.max(0, Math.min(warmUpRounds, rounds.length - defaultRounds));
    const recorded = rounds.slice(first, first + defaultRounds);
    return { from: recorded[0]?.from ?? made + 1, to: recorded.at(-1)?.to ?? total };
  }
  const { from, to } = steps;
  if (from > total || to <= made) {
    throw new LockstepError(
      'bad-option',
      `\`timeline.steps\` is ${from}-${to}, but this run makes steps ${made + 1} to ${total}`,
    );
  }
  const recorded = rounds.filter((round) => round.to >= from && round.from <= to);
  return { from: recorded[0].from, to: recorded.at(-1)!.to };
}

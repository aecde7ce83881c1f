// Divides the steps of a run into rounds, after each of which the weights travel: of one step, or of several local steps.
// Pure.
import type { Config } from '../config/config.js';
import type { RunLength } from './learning-rate.js';

/**
 * Returns the number of steps made at the end of the round that follows `step` steps. Each epoch is divided into rounds of
 * `localSteps` steps; the last round of an epoch, and of the run, is shorter if they do not divide evenly.
 * @param step number of steps made at the start of the round
 */
export function roundEndOf(
  step: number,
  { localSteps }: Pick<Config, 'localSteps'>,
  { totalSteps, stepsPerEpoch }: RunLength,
): number {
  const stepInEpoch = step % stepsPerEpoch;
  const left = Math.min(localSteps - (stepInEpoch % localSteps), stepsPerEpoch - stepInEpoch);
  return Math.min(step + left, totalSteps);
}

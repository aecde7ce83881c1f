import { describe, expect, it } from 'vitest';
import { roundEndOf } from '../../../shared/optimizer/rounds.js';

/** Returns the number of steps in each round of a run. */
function roundLengths(localSteps: number, length: { totalSteps: number; stepsPerEpoch: number }, firstStep = 0) {
  const lengths: number[] = [];
  for (let step = firstStep; step < length.totalSteps; step += lengths.at(-1)!) {
    lengths.push(roundEndOf(step, { localSteps }, length) - step);
  }
  return lengths;
}

describe('the rounds of a run', () => {
  it('have one step each without local steps', () => {
    expect(roundLengths(1, { totalSteps: 5, stepsPerEpoch: 3 })).toEqual([1, 1, 1, 1, 1]);
  });

  it('have as many steps as there are local steps, if they divide the epoch and the run', () => {
    expect(roundLengths(4, { totalSteps: 16, stepsPerEpoch: 8 })).toEqual([4, 4, 4, 4]);
  });

  it('are shorter at the end of an epoch that they do not divide, so an epoch ends with a round', () => {
    expect(roundLengths(4, { totalSteps: 20, stepsPerEpoch: 10 })).toEqual([4, 4, 2, 4, 4, 2]);
  });

  it('are shorter at the end of the run', () => {
    expect(roundLengths(4, { totalSteps: 13, stepsPerEpoch: 10 })).toEqual([4, 4, 2, 3]);
  });

  it('last an epoch if it has fewer steps', () => {
    expect(roundLengths(32, { totalSteps: 7, stepsPerEpoch: 3 })).toEqual([3, 3, 1]);
  });

  it('end at the same steps when they start after a round that the end of a shorter run cut off', () => {
    expect(roundLengths(4, { totalSteps: 20, stepsPerEpoch: 10 }, 5)).toEqual([3, 2, 4, 4, 2]);
  });
});

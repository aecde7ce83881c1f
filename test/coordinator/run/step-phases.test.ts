import { expect, it } from 'vitest';
import { stepPhases } from '../../../coordinator/run/step-phases.js';

it("the phases of a step are the means over its workers, and the coordinator's own", () => {
  const workers = [
    { phases: { waitMs: 10, augmentMs: 2, computeMs: 30, reduceMs: 0, sendMs: 4 } },
    { phases: { waitMs: 30, augmentMs: 4, computeMs: 10, reduceMs: 1, sendMs: 0 } },
  ];
  expect(stepPhases(workers, { reduce: 5, update: 6, step: 70 })).toEqual({
    waitForWeights: 20,
    augment: 3,
    compute: 20,
    add: 0.5,
    send: 2,
    reduce: 5,
    update: 6,
    step: 70,
  });
});

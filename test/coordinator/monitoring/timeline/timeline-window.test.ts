import { describe, expect, it } from 'vitest';
import { windowOf } from '../../../../coordinator/monitoring/timeline/timeline-window.js';

describe('the steps of a timeline', () => {
  it.each([
    ['of a long run', 0, 64_000, { from: 10, to: 30 }],
    ['of a resumed run', 500, 64_000, { from: 510, to: 530 }],
    ['of a run that is just long enough', 0, 30, { from: 10, to: 30 }],
    ['of a shorter run', 0, 25, { from: 5, to: 25 }],
    ['of a very short run', 0, 3, { from: 1, to: 3 }],
  ])('%s (%i of %i steps made) are %j', (_, made, total, expected) => {
    expect(windowOf(undefined, made, total)).toEqual(expected);
  });

  it('are those of whole rounds in a run with local steps', () => {
    const roundEnd = (step: number) => Math.min(100, step + 8);
    expect(windowOf({ from: 10, to: 17 }, 0, 100, roundEnd)).toEqual({ from: 9, to: 24 });
    expect(windowOf({ from: 98, to: 200 }, 0, 100, roundEnd)).toEqual({ from: 97, to: 100 });
    expect(windowOf(undefined, 0, 100, roundEnd)).toEqual({ from: 1, to: 100 });
  });

  it('are the requested ones, limited to the steps that the run makes', () => {
    expect(windowOf({ from: 2, to: 4 }, 0, 100)).toEqual({ from: 2, to: 4 });
    expect(windowOf({ from: 2, to: 400 }, 50, 100)).toEqual({ from: 51, to: 100 });
    for (const [made, total] of [
      [0, 1],
      [4, 100],
    ]) {
      expect(() => windowOf({ from: 2, to: 4 }, made, total)).toThrow(
        `\`timeline.steps\` is 2-4, but this run makes steps ${made + 1} to ${total}`,
      );
    }
  });
});

import { describe, expect, it } from 'vitest';
import { windowOf } from '../../../../coordinator/monitoring/timeline/timeline-window.js';

describe('the steps of a timeline', () => {
  it.each([
    ['of a long run', 0, 64_000, { from: 10, to: 30 }],
    ['of one that goes on', 500, 64_000, { from: 510, to: 530 }],
    ['of one that has just as many', 0, 30, { from: 10, to: 30 }],
    ['of one that has fewer', 0, 25, { from: 5, to: 25 }],
    ['of a short one', 0, 3, { from: 1, to: 3 }],
  ])('%s', (_, made, total, expected) => {
    expect(windowOf(undefined, made, total)).toEqual(expected);
  });

  it('are those that were asked for, as far as there are such', () => {
    expect(windowOf({ from: 2, to: 4 }, 0, 100)).toEqual({ from: 2, to: 4 });
    expect(windowOf({ from: 2, to: 400 }, 50, 100)).toEqual({ from: 51, to: 100 });
    for (const [made, total] of [
      [0, 1],
      [4, 100],
    ]) {
      expect(() => windowOf({ from: 2, to: 4 }, made, total)).toThrow(
        `--timeline-steps is 2-4: this run makes steps ${made + 1} to ${total}`,
      );
    }
  });
});

// Names of runs on the plot page.
import { describe, expect, it } from 'vitest';
import { distinctNames } from '../../../../cli/results/plot/read-runs.js';

describe('the name of a run', () => {
  it.each([
    [
      ['/runs/a', '/runs/b'],
      ['a', 'b'],
    ],
    [
      ['/x/runs/a', '/y/runs/a'],
      ['x/runs/a', 'y/runs/a'],
    ],
    [
      ['/one/a', '/two/a', '/two/b'],
      ['one/a', 'two/a', 'b'],
    ],
    [
      ['/a', '/b/a'],
      ['a', 'b/a'],
    ],
    [
      ['/runs/a', '/runs/a'],
      ['a', 'a (2)'],
    ],
  ])('among %j is one of %j', (paths, names) => {
    expect(distinctNames(paths)).toEqual(names);
  });
});

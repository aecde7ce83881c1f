import { describe, expect, it } from 'vitest';
import { distinctNames } from '../../../../cli/results/plot/read-runs.js';

describe('the names of runs in a plot', () => {
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
  ])('%j are named %j', (paths, names) => {
    expect(distinctNames(paths)).toEqual(names);
  });
});

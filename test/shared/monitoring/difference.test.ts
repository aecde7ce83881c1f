// What a page makes of what it is told to have changed is what the coordinator meant.
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { applyDifference, differenceBetween, type Difference } from '../../../shared/monitoring/difference.js';

const before = {
  status: { step: 7, loss: null, slices: [0, 1] },
  workers: [
    { name: 'attic', images: 64 },
    { name: 'cellar', images: 32 },
  ],
};

const traveled = <Value>(value: Value): Value => JSON.parse(JSON.stringify(value)) as Value;

describe('a difference', () => {
  it('of equal values is none', () => {
    expect(differenceBetween(before, structuredClone(before))).toBeUndefined();
  });

  it('names what has changed, and nothing else', () => {
    const after = structuredClone(before);
    after.status.step = 8;
    after.workers[1].images = 96;
    expect(differenceBetween(before, after)).toEqual({ status: { step: [8] }, workers: { 1: { images: [96] } } });
  });

  it('tells an array whole that has become longer or shorter, and what has become another kind of value', () => {
    const after = { status: { step: 7, loss: { mean: 2 }, slices: [0, 1, 2] }, workers: [before.workers[0]] };
    expect(differenceBetween(before, after)).toEqual({
      status: { loss: [{ mean: 2 }], slices: [[0, 1, 2]] },
      workers: [[before.workers[0]]],
    });
  });

  it('makes one value of the other, whatever they are, when it has traveled as JSON', () => {
    // Alike as often as not: one part in common, one of its own each.
    const value = fc.jsonValue({ maxDepth: 3 });
    const pairs = fc
      .tuple(value, value, value, value)
      .map((values) => traveled(values))
      .map(([common, key, a, b]) => [
        { common, key, other: [a, common] },
        { common, key, other: [b, common] },
      ]);
    fc.assert(
      fc.property(fc.oneof(pairs, fc.tuple(value, value).map(traveled)), ([from, to]) => {
        const untouched = structuredClone(from);
        const difference = differenceBetween(from, to);
        const made = difference === undefined ? from : applyDifference(from, traveled<Difference>(difference));
        expect(made).toEqual(to);
        expect(from).toEqual(untouched);
      }),
      { numRuns: 1_000 },
    );
  });
});

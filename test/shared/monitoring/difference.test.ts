// Differences between two states, as sent to dashboard pages.
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

const throughJson = <Value>(value: Value): Value => JSON.parse(JSON.stringify(value)) as Value;

describe('a difference', () => {
  it('of equal values is undefined', () => {
    expect(differenceBetween(before, structuredClone(before))).toBeUndefined();
  });

  it('contains only what has changed', () => {
    const after = structuredClone(before);
    after.status.step = 8;
    after.workers[1].images = 96;
    expect(differenceBetween(before, after)).toEqual({ status: { step: [8] }, workers: { 1: { images: [96] } } });
  });

  it('contains whole arrays whose length has changed, and whole values whose type has changed', () => {
    const after = { status: { step: 7, loss: { mean: 2 }, slices: [0, 1, 2] }, workers: [before.workers[0]] };
    expect(differenceBetween(before, after)).toEqual({
      status: { loss: [{ mean: 2 }], slices: [[0, 1, 2]] },
      workers: [[before.workers[0]]],
    });
  });

  it('turns any value into any other, also after a round trip through JSON', () => {
    // Some of the pairs are partly equal.
    const value = fc.jsonValue({ maxDepth: 3 });
    const pairs = fc
      .tuple(value, value, value, value)
      .map((values) => throughJson(values))
      .map(([common, key, a, b]) => [
        { common, key, other: [a, common] },
        { common, key, other: [b, common] },
      ]);
    fc.assert(
      fc.property(fc.oneof(pairs, fc.tuple(value, value).map(throughJson)), ([from, to]) => {
        const untouched = structuredClone(from);
        const difference = differenceBetween(from, to);
        const made = difference === undefined ? from : applyDifference(from, throughJson<Difference>(difference));
        expect(made).toEqual(to);
        expect(from).toEqual(untouched);
      }),
      { numRuns: 1_000 },
    );
  });
});

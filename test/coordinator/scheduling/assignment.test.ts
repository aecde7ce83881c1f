import { describe, expect, it } from 'vitest';
import { assignRanges, divideSlices, rangesWhere, type Candidate } from '../../../coordinator/scheduling/assignment.js';
import { alignedRanges } from '../../../shared/reduction/slices.js';

const everything = () => true;
const nothing = () => false;

/** Workers 1, 2, … that take so long for a slice. */
function workersWith(...sliceMs: number[]): Candidate[] {
  return sliceMs.map((ms, index) => ({ worker: index + 1, sliceMs: ms, overheadMs: 0, holds: everything }));
}

function countsOf(owners: readonly number[], workers: readonly Candidate[]): number[] {
  return workers.map(({ worker }) => owners.filter((owner) => owner === worker).length);
}

describe('dividing slices', () => {
  it.each([
    // Equal workers: 8 = 3 + 3 + 2.
    [8, [1, 1, 1], [3, 3, 2]],
    [4, [1], [4]],
    [4, [1, 1], [2, 2]],
    [5, [1, 1, 1, 1], [2, 1, 1, 1]],
    // Two spares.
    [2, [1, 1, 1, 1], [1, 1]],
    // Twice as fast, twice as many: 2 × 1 = 1 × 2.
    [6, [1, 2], [4, 2]],
    // Four slices at the fast one are done after 4, before one at the slow one.
    [4, [1, 10], [4, 0]],
    // 10 at the fast one would take as long as 1 at the slow one: 10 = 10 × 1.
    [11, [1, 10], [10, 1]],
    // 10 × 1 is 2 more than 4 × 2 and 2 × 4: the eleventh would be done after 11, the fifth after 10 as well.
    [16, [1, 2, 4], [10, 4, 2]],
  ])('gives of %i slices to workers that take %j for one: %j', (sliceCount, sliceMs, counts) => {
    const workers = workersWith(...sliceMs);
    expect(countsOf(divideSlices(sliceCount, workers), workers)).toEqual([
      ...counts,
      ...Array<number>(sliceMs.length - counts.length).fill(0),
    ]);
  });

  it('counts what an answer takes besides', () => {
    // The far worker is done with one slice after 5 + 1 = 6, the near one with 6 slices after 6.
    const [near, far] = workersWith(1, 1);
    const workers = [near, { ...far, overheadMs: 5 }];
    expect(countsOf(divideSlices(6, workers), workers)).toEqual([6, 0]);
    expect(countsOf(divideSlices(8, workers), workers)).toEqual([7, 1]);
  });

  it.each([
    // {0,1} {4} | {2,3} {5} | {6,7}: 5 gradients on the wire.
    [8, 3, 5],
    [8, 4, 4],
    [16, 2, 2],
    [4, 3, 3],
    // {0,1} {4} | {2,3} {5}: 3 slices are no range.
    [6, 2, 4],
  ])('of %i among %i equal workers makes whole ranges of the tree: %i', (sliceCount, workerCount, nodeCount) => {
    const workers = workersWith(...Array<number>(workerCount).fill(1));
    const owners = divideSlices(sliceCount, workers);
    const ranges = workers.flatMap(({ worker }) => rangesWhere(sliceCount, (slice) => owners[slice] === worker));
    expect(ranges).toHaveLength(nodeCount);
  });

  it('leaves a standing division alone while another would not be much better', () => {
    const standing = divideSlices(8, workersWith(100, 100));
    // 4 slices of 115 take 460, and 3 of 115 beside 5 of 100 take 500: nothing is better.
    expect(divideSlices(8, workersWith(100, 115), standing)).toBe(standing);
    // 4 × 130 = 520 against 500: 4% are not worth it.
    expect(divideSlices(8, workersWith(100, 130), standing)).toBe(standing);
    // 4 × 150 = 600 against 500: they are.
    const moved = divideSlices(8, workersWith(100, 150), standing);
    expect(countsOf(moved, workersWith(100, 150))).toEqual([5, 3]);
    // One slice moved, the others stayed.
    expect(moved.filter((owner, slice) => owner !== standing[slice])).toHaveLength(1);
    // 4 × 1.5 = 6 against 5 ms: as many percent, but nothing to speak of.
    expect(divideSlices(8, workersWith(1, 1.5), standing)).toBe(standing);
  });

  it('moves only a lost worker’s slices', () => {
    const standing = divideSlices(8, workersWith(1, 1, 1, 1));
    const rest = workersWith(1, 1, 1, 1).filter(({ worker }) => worker !== 2);
    const owners = divideSlices(8, rest, standing);
    const stayed = owners.filter((owner, slice) => owner === standing[slice]);
    // 8 slices but the lost one's 2.
    expect(stayed).toHaveLength(6);
    expect(countsOf(owners, rest).toSorted((a, b) => a - b)).toEqual([2, 3, 3]);
  });

  it('gives a lost worker’s slices to those that hold them', () => {
    const [first, second, third] = workersWith(1, 1, 1);
    const workers = [{ ...first, holds: (slice: number) => slice < 2 }, { ...second, holds: nothing }, third];
    // Workers 1 and 2 have 2 slices each, 5 is the lost one's; worker 3 is new, and alone holds all.
    expect(divideSlices(6, workers, [1, 1, 2, 2, 9, 9])).toEqual([1, 1, 2, 2, 3, 3]);
  });

  it('leaves a spare a spare', () => {
    const standing = divideSlices(4, workersWith(1, 1));
    // With a third worker one of them would still have two slices.
    expect(divideSlices(4, workersWith(1, 1, 1), standing)).toBe(standing);
  });

  it('leaves no slice out, whatever the numbers', () => {
    for (let sliceCount = 1; sliceCount <= 20; sliceCount++) {
      for (let workerCount = 1; workerCount <= 22; workerCount++) {
        const workers = workersWith(...Array.from({ length: workerCount }, (_, index) => 1 + ((index * 7) % 5)));
        const standing = divideSlices(sliceCount, workers.slice(workerCount >> 1));
        const owners = divideSlices(sliceCount, workers, standing);
        expect(owners).toHaveLength(sliceCount);
        expect(owners.every((owner) => owner >= 1 && owner <= workerCount)).toBe(true);
      }
    }
  });
});

describe('dealing ranges in the middle of a step', () => {
  const root = (count: number) => alignedRanges({ first: 0, count }, count);

  it('divides them until nobody is done later than need be', () => {
    // 8 slices among 3: two have 3, one has 2.
    expect(assignRanges(root(8), workersWith(1, 1, 1))).toEqual([
      {
        worker: 1,
        ranges: [
          { first: 0, count: 2 },
          { first: 6, count: 1 },
        ],
      },
      {
        worker: 2,
        ranges: [
          { first: 2, count: 2 },
          { first: 7, count: 1 },
        ],
      },
      { worker: 3, ranges: [{ first: 4, count: 2 }] },
    ]);
  });

  it('gives a fast worker more', () => {
    // One slice at the slow worker takes 3, three at the fast one take 3.
    expect(assignRanges(root(4), workersWith(3, 1))).toEqual([
      { worker: 1, ranges: [{ first: 2, count: 1 }] },
      {
        worker: 2,
        ranges: [
          { first: 0, count: 2 },
          { first: 3, count: 1 },
        ],
      },
    ]);
  });

  it('counts what they owe already', () => {
    const owed = new Map([[1, 4]]);
    expect(assignRanges(root(2), workersWith(1, 1), (worker) => owed.get(worker) ?? 0)).toEqual([
      { worker: 2, ranges: [{ first: 0, count: 2 }] },
    ]);
  });

  it('gives a slice to whoever holds it, be it busier', () => {
    const [first, second] = workersWith(1, 1);
    const workers = [{ ...first, holds: nothing }, second];
    expect(assignRanges([{ first: 1, count: 1 }], workers, (worker) => (worker === 2 ? 3 : 0))).toEqual([
      { worker: 2, ranges: [{ first: 1, count: 1 }] },
    ]);
  });

  it('divides a range whose halves are held by two', () => {
    const [first, second] = workersWith(1, 1);
    const workers = [
      { ...first, holds: (slice: number) => slice === 1 },
      { ...second, holds: (slice: number) => slice === 0 },
    ];
    expect(assignRanges(root(2), workers)).toEqual([
      { worker: 1, ranges: [{ first: 1, count: 1 }] },
      { worker: 2, ranges: [{ first: 0, count: 1 }] },
    ]);
  });

  it('keeps a range whole that nobody holds', () => {
    const [first, second] = workersWith(1, 1);
    const workers = [
      { ...first, holds: nothing },
      { ...second, holds: nothing },
    ];
    expect(assignRanges(root(4), workers).map(({ ranges }) => ranges)).toEqual([
      [{ first: 0, count: 2 }],
      [{ first: 2, count: 2 }],
    ]);
  });

  it('gives nothing to nobody, and nothing when nothing is open', () => {
    expect(assignRanges(root(2), [])).toEqual([]);
    expect(assignRanges([], workersWith(1))).toEqual([]);
  });
});

import { describe, expect, it } from 'vitest';
import { assignRanges, divideSlices, rangesIn, type Candidate } from '../../../coordinator/scheduling/assignment.js';
import { alignedRanges, type SliceRange } from '../../../shared/reduction/slices.js';

const holdsAll = () => true;
const holdsNone = () => false;

/** Returns workers 1, 2, … that take these times in milliseconds per slice and hold every shard. */
function workersWith(...sliceMs: number[]): Candidate[] {
  return sliceMs.map((ms, index) => ({ worker: index + 1, sliceMs: ms, overheadMs: 0, holds: holdsAll }));
}

function countsOf(owners: readonly number[], workers: readonly Candidate[]): number[] {
  return workers.map(({ worker }) => owners.filter((owner) => owner === worker).length);
}

function rangesWhere(sliceCount: number, hasProperty: (slice: number) => boolean): SliceRange[] {
  return rangesIn([{ first: 0, count: sliceCount }], sliceCount, hasProperty);
}

describe('divideSlices', () => {
  it.each([
    // Equally fast workers share 8 slices as 3 + 3 + 2.
    [8, [1, 1, 1], [3, 3, 2]],
    [4, [1], [4]],
    [4, [1, 1], [2, 2]],
    [5, [1, 1, 1, 1], [2, 1, 1, 1]],
    // The last two workers are spares.
    [2, [1, 1, 1, 1], [1, 1]],
    // A worker that is twice as fast gets twice as many slices: both take 4 × 1 ms = 2 × 2 ms.
    [6, [1, 2], [4, 2]],
    // The fast worker finishes four slices after 4 ms; the slow one would finish its first slice after 10 ms.
    [4, [1, 10], [4, 0]],
    // The fast worker computes ten slices in the time that the slow one takes for one: 10 × 1 ms = 1 × 10 ms.
    [11, [1, 10], [10, 1]],
    // The workers take 10 × 1 = 10 ms, 4 × 2 = 8 ms and 2 × 4 = 8 ms. A fifth slice would take the second worker to
    // 10 ms as well, so moving one gains nothing.
    [16, [1, 2, 4], [10, 4, 2]],
  ])('divides %i slices among workers by their times per slice: %j → %j', (sliceCount, sliceMs, counts) => {
    const workers = workersWith(...sliceMs);
    expect(countsOf(divideSlices(sliceCount, workers), workers)).toEqual([
      ...counts,
      ...Array<number>(sliceMs.length - counts.length).fill(0),
    ]);
  });

  it('takes the overhead of an answer into account', () => {
    // The far worker finishes one slice after 5 + 1 = 6 ms; the near one finishes six slices in the same time.
    const [near, far] = workersWith(1, 1);
    const workers = [near, { ...far, overheadMs: 5 }];
    expect(countsOf(divideSlices(6, workers), workers)).toEqual([6, 0]);
    expect(countsOf(divideSlices(8, workers), workers)).toEqual([7, 1]);
  });

  it.each([
    // Ranges per worker: {0,1} {4} | {2,3} {5} | {6,7}. Each of the 5 ranges is sent as one partial sum.
    [8, 3, 5],
    [8, 4, 4],
    [16, 2, 2],
    [4, 3, 3],
    // Ranges per worker: {0,1} {4} | {2,3} {5}. No aligned range has 3 of 6 slices.
    [6, 2, 4],
  ])('forms aligned ranges: %i slices, %i equal workers, %i ranges', (sliceCount, workerCount, rangeCount) => {
    const workers = workersWith(...Array<number>(workerCount).fill(1));
    const owners = divideSlices(sliceCount, workers);
    const ranges = workers.flatMap(({ worker }) => rangesWhere(sliceCount, (slice) => owners[slice] === worker));
    expect(ranges).toHaveLength(rangeCount);
  });

  it('gives nearly equal workers equal ranges', () => {
    // Relays with 31 or 32 workers take 1000 / 31 = 32.3 or 31.3 ms per slice. With 32 slices each, a step takes 1,032 ms.
    // With 31 for the slower ones and 35 for the others, it would take 1,094 ms.
    const relays = workersWith(...Array.from({ length: 32 }, (_, index) => 1000 / (index < 24 ? 31 : 32)));
    const owners = divideSlices(1024, relays);
    const ranges = relays.flatMap(({ worker }) => rangesWhere(1024, (slice) => owners[slice] === worker));
    expect(ranges.map(({ count }) => count)).toEqual(Array<number>(32).fill(32));
  });

  it('keeps the current division unless another is much better', () => {
    const current = divideSlices(8, workersWith(100, 100));
    // A step takes 4 × 115 = 460 ms; after moving a slice, it would take 5 × 100 = 500 ms.
    expect(divideSlices(8, workersWith(100, 115), current)).toBe(current);
    // A step takes 4 × 130 = 520 ms instead of 500 ms: 4% more, too little to move a slice.
    expect(divideSlices(8, workersWith(100, 130), current)).toBe(current);
    // A step takes 4 × 150 = 600 ms instead of 500 ms: 20% more, enough to move a slice.
    const moved = divideSlices(8, workersWith(100, 150), current);
    expect(countsOf(moved, workersWith(100, 150))).toEqual([5, 3]);
    // Only one slice moved.
    expect(moved.filter((owner, slice) => owner !== current[slice])).toHaveLength(1);
    // A step takes 4 × 1.5 = 6 ms instead of 5 ms: 20% more, but moving a slice would save only 1 ms.
    expect(divideSlices(8, workersWith(1, 1.5), current)).toBe(current);
  });

  it('moves only the slices of a worker that left', () => {
    const current = divideSlices(8, workersWith(1, 1, 1, 1));
    const rest = workersWith(1, 1, 1, 1).filter(({ worker }) => worker !== 2);
    const owners = divideSlices(8, rest, current);
    const unmoved = owners.filter((owner, slice) => owner === current[slice]);
    // Worker 2 had two of the eight slices; the other six keep their owners.
    expect(unmoved).toHaveLength(6);
    expect(countsOf(owners, rest).toSorted((a, b) => a - b)).toEqual([2, 3, 3]);
  });

  it('gives the slices of a worker that left to workers that hold their shards', () => {
    const [first, second, third] = workersWith(1, 1, 1);
    const workers = [{ ...first, holds: (slice: number) => slice < 2 }, { ...second, holds: holdsNone }, third];
    // Workers 1 and 2 own two slices each. Worker 9 left, and only worker 3 holds the shards of slices 4 and 5.
    expect(divideSlices(6, workers, [1, 1, 2, 2, 9, 9])).toEqual([1, 1, 2, 2, 3, 3]);
  });

  it('leaves a spare without slices if it would not shorten the step', () => {
    const current = divideSlices(4, workersWith(1, 1));
    // With three workers, one of them would still have two slices.
    expect(divideSlices(4, workersWith(1, 1, 1), current)).toBe(current);
  });

  it('gives every slice an owner, for 1 to 20 slices and 1 to 22 workers', () => {
    for (let sliceCount = 1; sliceCount <= 20; sliceCount++) {
      for (let workerCount = 1; workerCount <= 22; workerCount++) {
        const workers = workersWith(...Array.from({ length: workerCount }, (_, index) => 1 + ((index * 7) % 5)));
        const current = divideSlices(sliceCount, workers.slice(workerCount >> 1));
        const owners = divideSlices(sliceCount, workers, current);
        expect(owners).toHaveLength(sliceCount);
        expect(owners.every((owner) => owner >= 1 && owner <= workerCount)).toBe(true);
      }
    }
  });
});

describe('assignRanges', () => {
  const root = (count: number) => alignedRanges({ first: 0, count }, count);

  it('splits ranges until the last worker finishes as early as possible', () => {
    // The three workers share 8 slices as 3 + 3 + 2.
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

  it('gives a faster worker more slices', () => {
    // Both take 3 ms: one slice at 3 ms, three slices at 1 ms.
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

  it('takes into account the slices that are already assigned to a worker', () => {
    const owed = new Map([[1, 4]]);
    expect(assignRanges(root(2), workersWith(1, 1), (worker) => owed.get(worker) ?? 0)).toEqual([
      { worker: 2, ranges: [{ first: 0, count: 2 }] },
    ]);
  });

  it('gives a slice to the worker that holds its shard, even if that worker has more slices to compute', () => {
    const [first, second] = workersWith(1, 1);
    const workers = [{ ...first, holds: holdsNone }, second];
    expect(assignRanges([{ first: 1, count: 1 }], workers, (worker) => (worker === 2 ? 3 : 0))).toEqual([
      { worker: 2, ranges: [{ first: 1, count: 1 }] },
    ]);
  });

  it('splits a range if its halves are held by different workers', () => {
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

  it('keeps ranges as large as possible if no worker holds their shards', () => {
    const [first, second] = workersWith(1, 1);
    const workers = [
      { ...first, holds: holdsNone },
      { ...second, holds: holdsNone },
    ];
    expect(assignRanges(root(4), workers).map(({ ranges }) => ranges)).toEqual([
      [{ first: 0, count: 2 }],
      [{ first: 2, count: 2 }],
    ]);
  });

  it('assigns nothing without workers or without ranges', () => {
    expect(assignRanges(root(2), [])).toEqual([]);
    expect(assignRanges([], workersWith(1))).toEqual([]);
  });
});

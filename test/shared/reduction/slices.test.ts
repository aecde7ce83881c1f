import { describe, expect, it } from 'vitest';
import { KeyedRandom } from '../../../shared/random.js';
import {
  addInto,
  childrenOf,
  describeRange,
  isAlignedRange,
  leftChildSize,
  relativesOf,
  sameRange,
  alignedRanges,
  type SliceRange,
} from '../../../shared/reduction/slices.js';
import { bitsOf, treeSum } from '../../support/tree-sum.js';

const sizes = Array.from({ length: 17 }, (_, index) => index + 1);
const nameOf = ({ first, count }: SliceRange) => `${first}+${count}`;

/** Returns every subtree of the reduction tree over `sliceCount` slices. */
function allSubtrees(sliceCount: number): SliceRange[] {
  const subtreesOf = (range: SliceRange): SliceRange[] =>
    range.count === 1 ? [range] : [range, ...childrenOf(range).flatMap(subtreesOf)];
  return subtreesOf({ first: 0, count: sliceCount });
}

function allRanges(sliceCount: number): SliceRange[] {
  return Array.from({ length: sliceCount }, (_, first) =>
    Array.from({ length: sliceCount - first }, (_unused, index) => ({ first, count: index + 1 })),
  ).flat();
}

describe('the reduction tree', () => {
  it.each([
    [2, 1],
    [3, 2],
    [4, 2],
    [5, 4],
    [7, 4],
    [8, 4],
    [9, 8],
    [16, 8],
    [17, 16],
  ])('splits %i slices after the first %i', (count, left) => {
    expect(leftChildSize(count)).toBe(left);
    expect(childrenOf({ first: 10, count })).toEqual([
      { first: 10, count: left },
      { first: 10 + left, count: count - left },
    ]);
  });

  it('over six slices has these subtrees', () => {
    expect(allSubtrees(6).map(nameOf)).toEqual([
      '0+6',
      '0+4',
      '0+2',
      '0+1',
      '1+1',
      '2+2',
      '2+1',
      '3+1',
      '4+2',
      '4+1',
      '5+1',
    ]);
  });

  it.each(sizes)('over %i slices distinguishes its subtrees from other ranges', (sliceCount) => {
    const subtrees = new Set(allSubtrees(sliceCount).map(nameOf));
    for (const range of allRanges(sliceCount)) {
      expect([nameOf(range), isAlignedRange(range, sliceCount)]).toEqual([nameOf(range), subtrees.has(nameOf(range))]);
    }
  });

  it.each([
    { first: 0, count: 0 },
    { first: -1, count: 1 },
    { first: 4, count: 1 },
    { first: 3, count: 2 },
    { first: 0, count: 8 },
  ])('over four slices has no subtree %o', (range) => {
    expect(isAlignedRange(range, 4)).toBe(false);
  });

  it.each(sizes)('over %i slices returns parent and sibling of every subtree except the root', (sliceCount) => {
    expect(relativesOf({ first: 0, count: sliceCount }, sliceCount)).toBeUndefined();
    for (const parent of allSubtrees(sliceCount).filter(({ count }) => count > 1)) {
      const [left, right] = childrenOf(parent);
      expect(relativesOf(left, sliceCount)).toEqual({ parent, sibling: right });
      expect(relativesOf(right, sliceCount)).toEqual({ parent, sibling: left });
    }
  });

  it('returns no relatives of a range that is not aligned', () => {
    expect(relativesOf({ first: 1, count: 2 }, 4)).toBeUndefined();
  });
});

describe('alignedRanges', () => {
  it.each([
    // Slices 1 to 6 of 8: slice 1, the pair 2 and 3, the pair 4 and 5, and slice 6.
    [{ first: 1, count: 6 }, 8, ['1+1', '2+2', '4+2', '6+1']],
    [{ first: 0, count: 3 }, 4, ['0+2', '2+1']],
    [{ first: 0, count: 4 }, 5, ['0+4']],
    [{ first: 3, count: 2 }, 5, ['3+1', '4+1']],
    [{ first: 2, count: 0 }, 4, []],
  ])('splits %o of %i slices into %j', (range, sliceCount, aligned) => {
    expect(alignedRanges(range, sliceCount).map(nameOf)).toEqual(aligned);
  });

  it.each(sizes)('over %i slices covers any range exactly, with as few aligned ranges as possible', (sliceCount) => {
    for (const range of allRanges(sliceCount)) {
      const aligned = alignedRanges(range, sliceCount);
      let next = range.first;
      for (const part of aligned) {
        expect(part.first).toBe(next);
        expect(isAlignedRange(part, sliceCount)).toBe(true);
        next += part.count;
        // The list must not contain both a range and its sibling, because their parent alone would cover both.
        const sibling = relativesOf(part, sliceCount)?.sibling;
        expect(sibling !== undefined && aligned.some((other) => sameRange(other, sibling))).toBe(false);
      }
      expect(next).toBe(range.first + range.count);
    }
  });
});

describe('addInto', () => {
  it('adds in float32', () => {
    // 2^24 + 1 is halfway between two float32 numbers and is rounded to the even one: 2^24.
    const target = Float32Array.of(2 ** 24, 1, -0);
    addInto(target, Float32Array.of(1, 2, 0));
    expect([...target]).toEqual([2 ** 24, 3, 0]);
  });

  it('rejects vectors of different sizes', () => {
    expect(() => addInto(new Float32Array(3), new Float32Array(2))).toThrow('partial sums of different sizes: 3 and 2');
  });

  it.each(sizes)('gives the same bits over %i slices however they are assigned', (sliceCount) => {
    const values = new KeyedRandom(sliceCount, 'synthesis', 1);
    const slices = Array.from({ length: sliceCount }, (_, slice) =>
      Float32Array.from({ length: 40 }, (_unused, i) => values.uniformAt(slice * 40 + i) * 2 - 1),
    );
    const whole = bitsOf(treeSum(slices, 0, sliceCount));
    for (let attempt = 0; attempt < 40; attempt++) {
      const assigned = randomRanges(sliceCount, new KeyedRandom(sliceCount, 'synthesis', 2, attempt));
      const partials = assigned.flatMap((range) =>
        alignedRanges(range, sliceCount).map((aligned) => ({
          range: aligned,
          sum: treeSum(slices, aligned.first, aligned.count),
        })),
      );
      const arrival = new KeyedRandom(sliceCount, 'synthesis', 3, attempt).permutation(partials.length);
      const sum = mergeAll(
        [...arrival].map((index) => partials[index]),
        sliceCount,
      );
      expect(bitsOf(sum)).toEqual(whole);
    }
  });

  it('adds in the order of the tree, not from left to right', () => {
    // In float32, (2^24 + 1) + (1 + 1) = 2^24 + 2, but ((2^24 + 1) + 1) + 1 = 2^24.
    const slices = [2 ** 24, 1, 1, 1].map((value) => Float32Array.of(value));
    const sum = mergeAll(
      slices.map((slice, first) => ({ range: { first, count: 1 }, sum: slice })),
      4,
    );
    expect(sum[0]).toBe(2 ** 24 + 2);
  });
});

describe('describeRange', () => {
  it('describes one slice and several', () => {
    expect(describeRange({ first: 3, count: 1 })).toBe('slice 3');
    expect(describeRange({ first: 2, count: 4 })).toBe('slices 2 to 5');
  });
});

/** Returns contiguous ranges of random sizes that cover all slices. */
function randomRanges(sliceCount: number, random: KeyedRandom): SliceRange[] {
  const ranges: SliceRange[] = [];
  for (let first = 0; first < sliceCount;) {
    const count = 1 + random.integerAt(first, sliceCount - first);
    ranges.push({ first, count });
    first += count;
  }
  return ranges;
}

/** Adds up partial sums in the order of arrival, using only relativesOf and addInto. */
function mergeAll(partials: readonly { range: SliceRange; sum: Float32Array }[], sliceCount: number): Float32Array {
  const waiting = new Map<string, Float32Array<ArrayBuffer>>();
  for (const partial of partials) {
    let { range } = partial;
    let sum = partial.sum.slice();
    for (;;) {
      const relatives = relativesOf(range, sliceCount);
      if (relatives === undefined) return sum;
      const sibling = waiting.get(nameOf(relatives.sibling));
      if (sibling === undefined) break;
      addInto(sibling, sum);
      sum = sibling;
      range = relatives.parent;
    }
    waiting.set(nameOf(range), sum);
  }
  throw new Error('the partial sums do not cover the root');
}

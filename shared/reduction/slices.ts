// The reduction tree over the slices of a global batch, which defines the order in which gradients are added. Float32
// addition is not associative; because the order is fixed, a sum does not depend on which worker computed which partial
// sum. Pure.

/** The slices from `first` to `first + count - 1`. An aligned range is a subtree of the reduction tree. */
export interface SliceRange {
  first: number;
  count: number;
}

/**
 * Returns the number of slices in the left child of an aligned range of `count` slices: the largest power of two below
 * `count`.
 */
export function leftChildSize(count: number): number {
  let size = 1;
  while (size * 2 < count) size *= 2;
  return size;
}

/** Returns the two children, in the reduction tree, of an aligned range of at least two slices. */
export function childrenOf({ first, count }: SliceRange): [SliceRange, SliceRange] {
  const left = leftChildSize(count);
  return [
    { first, count: left },
    { first: first + left, count: count - left },
  ];
}

/**
 * Splits a range into the smallest possible number of aligned ranges, from left to right. A worker to which the range
 * is assigned sends one partial sum for each of them.
 */
export function alignedRanges(range: SliceRange, sliceCount: number): SliceRange[] {
  const end = range.first + range.count;
  const aligned: SliceRange[] = [];
  function visit(subtree: SliceRange): void {
    if (subtree.first >= end || subtree.first + subtree.count <= range.first) return;
    if (subtree.first >= range.first && subtree.first + subtree.count <= end) {
      aligned.push(subtree);
      return;
    }
    for (const child of childrenOf(subtree)) visit(child);
  }
  if (range.count > 0) visit({ first: 0, count: sliceCount });
  return aligned;
}

/** Returns whether a range is a subtree of the reduction tree over `sliceCount` slices. */
export function isAlignedRange(range: SliceRange, sliceCount: number): boolean {
  if (range.count < 1 || range.first < 0 || range.first + range.count > sliceCount) return false;
  return alignedRanges(range, sliceCount).length === 1;
}

/**
 * Returns the parent and the sibling of an aligned range, or undefined for the root and for ranges that are not
 * aligned.
 */
export function relativesOf(
  range: SliceRange,
  sliceCount: number,
): { parent: SliceRange; sibling: SliceRange } | undefined {
  let parent: SliceRange = { first: 0, count: sliceCount };
  while (parent.count > range.count) {
    const [left, right] = childrenOf(parent);
    if (sameRange(left, range)) return { parent, sibling: right };
    if (sameRange(right, range)) return { parent, sibling: left };
    parent = range.first < right.first ? left : right;
  }
  return undefined;
}

/** Returns the slices in a range, in order. */
export function slicesIn({ first, count }: SliceRange): number[] {
  return Array.from({ length: count }, (_, index) => first + index);
}

export function sameRange(a: SliceRange, b: SliceRange): boolean {
  return a.first === b.first && a.count === b.count;
}

/** Describes a range for messages: `slice 3` or `slices 0 to 3`. */
export function describeRange(range: SliceRange): string {
  return range.count === 1 ? `slice ${range.first}` : `slices ${range.first} to ${range.first + range.count - 1}`;
}

/**
 * Adds one partial sum to another in float32. It does not matter which of them is the target: a + b and b + a have the
 * same bits.
 */
export function addInto(target: Float32Array, addend: Float32Array): void {
  if (target.length !== addend.length) {
    throw new RangeError(`partial sums of different sizes: ${target.length} and ${addend.length}`);
  }
  // A loop that adds eight values per iteration takes half as long as one that adds one, because V8 checks bounds less
  // often.
  const unrolledEnd = target.length - (target.length % 8);
  for (let i = 0; i < unrolledEnd; i += 8) {
    target[i] += addend[i];
    target[i + 1] += addend[i + 1];
    target[i + 2] += addend[i + 2];
    target[i + 3] += addend[i + 3];
    target[i + 4] += addend[i + 4];
    target[i + 5] += addend[i + 5];
    target[i + 6] += addend[i + 6];
    target[i + 7] += addend[i + 7];
  }
  for (let i = unrolledEnd; i < target.length; i++) target[i] += addend[i];
}

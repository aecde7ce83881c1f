// Slices of the global batch and the binary tree in whose order their gradients are added. Pure.
// Float32 addition is not associative: one tree for everybody is what makes a sum independent of who computed its parts.

/** The slices first to first + count - 1. */
export interface SliceRange {
  first: number;
  count: number;
}

/** The size of a range's left child: the largest power of two below its own size. */
export function leftChildSize(count: number): number {
  let size = 1;
  while (size * 2 < count) size *= 2;
  return size;
}

/** The two children of a tree range of at least two slices. */
export function childrenOf(range: SliceRange): [SliceRange, SliceRange] {
  const left = leftChildSize(range.count);
  return [
    { first: range.first, count: left },
    { first: range.first + left, count: range.count - left },
  ];
}

/**
 * The fewest ranges of the tree over sliceCount slices that make up a range, from left to right.
 * A worker that owns the range sends one partial for each.
 */
export function alignedRanges(range: SliceRange, sliceCount: number): SliceRange[] {
  const end = range.first + range.count;
  const ranges: SliceRange[] = [];
  function visit(subtree: SliceRange): void {
    if (subtree.first >= end || subtree.first + subtree.count <= range.first) return;
    if (subtree.first >= range.first && subtree.first + subtree.count <= end) {
      ranges.push(subtree);
      return;
    }
    for (const child of childrenOf(subtree)) visit(child);
  }
  if (range.count > 0) visit({ first: 0, count: sliceCount });
  return ranges;
}

/** Whether a range is a range of the tree over sliceCount slices. */
export function isAlignedRange(range: SliceRange, sliceCount: number): boolean {
  if (range.count < 1 || range.first < 0 || range.first + range.count > sliceCount) return false;
  return alignedRanges(range, sliceCount).length === 1;
}

/** The range's parent and its sibling in the tree over sliceCount slices; undefined for the root. */
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

export function sameRange(a: SliceRange, b: SliceRange): boolean {
  return a.first === b.first && a.count === b.count;
}

/** For people: `slice 3`, `slices 0 to 3`. */
export function describeRange(range: SliceRange): string {
  return range.count === 1 ? `slice ${range.first}` : `slices ${range.first} to ${range.first + range.count - 1}`;
}

/**
 * Adds one partial to another, element by element in float32. Which of the two is the left child does not matter:
 * a + b and b + a have the same bits.
 */
export function addInto(target: Float32Array, addend: Float32Array): void {
  if (target.length !== addend.length) {
    throw new RangeError(`partials of different sizes: ${target.length} and ${addend.length}`);
  }
  // Eight at a time: half the time of one at a time, as V8 checks bounds less often.
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

// Who computes which slices: contiguous ranges, as even as they come, so that most of a worker's slices are whole
// subtrees and cost one gradient on the wire. Pure.
import type { SliceRange } from '../shared/slices.js';

/**
 * Deals sliceCount slices to at most workerCount workers. The larger shares come first; workers beyond the number of
 * slices are spares and get nothing.
 * @returns one range per worker that gets any
 */
export function shareSlices(sliceCount: number, workerCount: number): SliceRange[] {
  const shares = Math.min(sliceCount, workerCount);
  const ranges: SliceRange[] = [];
  let first = 0;
  for (let share = 0; share < shares; share++) {
    const count = Math.ceil((sliceCount - first) / (shares - share));
    ranges.push({ first, count });
    first += count;
  }
  return ranges;
}

// Who computes which slices, by how fast each worker is and which shards it holds: whole ranges of the reduction tree
// where that is possible, because a range costs one gradient on the wire. Exactness never depends on it. Pure.
import { childrenOf, alignedRanges, type SliceRange } from '../../shared/reduction/slices.js';

/** A worker as a dealer sees it. */
export interface Candidate {
  worker: number;
  /** Milliseconds that it computes on a slice. */
  sliceMs: number;
  /** Milliseconds that an answer takes besides: transfer and waiting. */
  fixedMs: number;
  /** Whether it has the slice's shard. */
  holds: (slice: number) => boolean;
}

/** Work for one worker. */
export interface Order {
  worker: number;
  ranges: SliceRange[];
}

/** A standing division is given up for one that makes a step a tenth and 5 ms shorter: measurements waver. */
function isWorthwhile(standingMs: number, otherMs: number): boolean {
  return standingMs - otherMs > Math.max(0.1 * otherMs, 5);
}

/** When a worker is done that owes so many slices. */
function finishMs({ sliceMs, fixedMs }: Candidate, slices: number): number {
  return slices === 0 ? 0 : fixedMs + slices * sliceMs;
}

/**
 * Deals slices one by one, each to whoever is done with it first, which makes the last one done as early as possible.
 * @param owed slices that each candidate owes already
 * @returns slices that each candidate owes then
 */
function countSlicesFor(sliceCount: number, candidates: readonly Candidate[], owed?: readonly number[]): number[] {
  const counts = candidates.map((_, index) => owed?.[index] ?? 0);
  for (let slice = 0; slice < sliceCount; slice++) {
    let best = 0;
    for (let index = 1; index < candidates.length; index++) {
      if (finishMs(candidates[index], counts[index] + 1) < finishMs(candidates[best], counts[best] + 1)) best = index;
    }
    counts[best]++;
  }
  return counts;
}

function lastFinishMs(candidates: readonly Candidate[], counts: readonly number[]): number {
  return Math.max(...candidates.map((candidate, index) => finishMs(candidate, counts[index])));
}

/**
 * Divides the slices so that the slowest part of a step is as short as can be; a worker that would only be waited for
 * gets none. Slices stay with their owner where they can, as moving one means moving its shard.
 * @param standing the division until now, an owner for each slice; owners that are no candidates have left
 * @returns an owner for each slice
 */
export function divideSlices(
  sliceCount: number,
  candidates: readonly Candidate[],
  standing: readonly (number | undefined)[] = [],
): number[] {
  const counts = countSlicesFor(sliceCount, candidates);
  const standingCounts = candidates.map(({ worker }) => standing.filter((owner) => owner === worker).length);
  const isComplete = standingCounts.reduce((sum, count) => sum + count, 0) === sliceCount;
  if (isComplete && !isWorthwhile(lastFinishMs(candidates, standingCounts), lastFinishMs(candidates, counts))) {
    return standing as number[];
  }
  const owners: (number | undefined)[] = Array.from({ length: sliceCount });
  const room = new Map(candidates.map((candidate, index) => [candidate, counts[index]]));
  const give = (candidate: Candidate, range: SliceRange) => {
    owners.fill(candidate.worker, range.first, range.first + range.count);
    room.set(candidate, room.get(candidate)! - range.count);
  };
  for (const candidate of candidates) {
    const own = rangesWhere(sliceCount, (slice) => standing[slice] === candidate.worker);
    placeRanges(own, (range) => {
      if (room.get(candidate) === 0) return 'dropped';
      if (range.count > room.get(candidate)!) return 'too-large';
      give(candidate, range);
      return 'placed';
    });
  }
  const open = rangesWhere(sliceCount, (slice) => owners[slice] === undefined);
  placeRanges(open, (range) => {
    const fitting = candidates.filter((candidate) => room.get(candidate)! >= range.count);
    const holding = fitting.filter((candidate) => holdsRange(candidate, range));
    const [first, ...others] = holding.length > 0 ? holding : fitting;
    if (first === undefined) return 'too-large';
    give(
      others.reduce((best, other) => (room.get(other)! > room.get(best)! ? other : best), first),
      range,
    );
    return 'placed';
  });
  // Every slice was given away: the rooms add up to the slices.
  return owners as number[];
}

/**
 * Deals ranges out in the middle of a step: to those that hold the shards where anybody does, to whoever is done first,
 * and a range is divided where the step would otherwise end later.
 * @param owedBy slices that a worker owes already
 */
export function assignRanges(
  ranges: readonly SliceRange[],
  candidates: readonly Candidate[],
  owedBy: (worker: number) => number = () => 0,
): Order[] {
  if (candidates.length === 0) return [];
  const owed = candidates.map(({ worker }) => owedBy(worker));
  const goalMs = lastFinishMs(candidates, countSlicesFor(sliceCountOf(ranges), candidates, owed));
  const dealt = candidates.map((): SliceRange[] => []);
  placeRanges(ranges, (range) => {
    const holders = candidates.flatMap((candidate, index) => (holdsRange(candidate, range) ? [index] : []));
    const isPartlyHeld = candidates.some((candidate) => slicesOf(range).some((slice) => candidate.holds(slice)));
    if (holders.length === 0 && isPartlyHeld && range.count > 1) return 'too-large';
    const eligible = holders.length > 0 ? holders : candidates.map((_, index) => index);
    const doneMs = (index: number) => finishMs(candidates[index], owed[index] + range.count);
    const best = eligible.reduce((a, b) => (doneMs(b) < doneMs(a) ? b : a));
    if (range.count > 1 && doneMs(best) > goalMs) return 'too-large';
    owed[best] += range.count;
    dealt[best].push(range);
    return 'placed';
  });
  return candidates.flatMap(({ worker }, index) => (dealt[index].length > 0 ? [{ worker, ranges: dealt[index] }] : []));
}

/** Offers ranges, the largest first, and the children of those that are too large after them. */
function placeRanges(ranges: readonly SliceRange[], offer: (range: SliceRange) => 'placed' | 'dropped' | 'too-large') {
  const open = [...ranges];
  while (open.length > 0) {
    const range = open.reduce((a, b) => (b.count > a.count || (b.count === a.count && b.first < a.first) ? b : a));
    open.splice(open.indexOf(range), 1);
    if (offer(range) === 'too-large') open.push(...childrenOf(range));
  }
}

/** The fewest tree ranges that make up the slices for which this is so, from left to right. */
export function rangesWhere(sliceCount: number, isMeant: (slice: number) => boolean): SliceRange[] {
  const ranges: SliceRange[] = [];
  for (let first = 0; first < sliceCount; first++) {
    let end = first;
    while (end < sliceCount && isMeant(end)) end++;
    ranges.push(...alignedRanges({ first, count: end - first }, sliceCount));
    first = end;
  }
  return ranges;
}

export function sliceCountOf(ranges: readonly SliceRange[]): number {
  return ranges.reduce((sum, range) => sum + range.count, 0);
}

function slicesOf({ first, count }: SliceRange): number[] {
  return Array.from({ length: count }, (_, index) => first + index);
}

function holdsRange(candidate: Candidate, range: SliceRange): boolean {
  return slicesOf(range).every((slice) => candidate.holds(slice));
}

// Divides slices among workers according to their speed and the shards that they hold. Prefers large aligned ranges
// because each range costs one gradient on the wire. The result of a step never depends on the assignment. Pure.
import { alignedRanges, childrenOf, type SliceRange } from '../../shared/reduction/slices.js';
import { FinishOrder } from './finish-order.js';

/** A worker that may be assigned slices. */
export interface Candidate {
  worker: number;
  /** Computation time per slice, in milliseconds. */
  sliceMs: number;
  /** Time per answer besides computation: transfer and waiting, in milliseconds. */
  overheadMs: number;
  /** Whether the worker holds the slice's shard. */
  holds: (slice: number) => boolean;
}

/** Owner of a slice that has never been assigned: no worker has this ID. */
const noOwner = -1;

/** Slice ranges for one worker. */
export interface Assignment {
  worker: number;
  ranges: SliceRange[];
}

/**
 * Returns whether to replace the current division of slices with a faster one. Because measurements fluctuate, a step
 * with the current division must take more than 10% and more than 5 ms longer.
 */
function isWorthwhile(currentMs: number, otherMs: number): boolean {
  return currentMs - otherMs > Math.max(0.1 * otherMs, 5);
}

/** Returns the time from assigning this many slices to a worker until its answer, in milliseconds. */
function finishMs({ sliceMs, overheadMs }: Candidate, slices: number): number {
  return slices === 0 ? 0 : overheadMs + slices * sliceMs;
}

/**
 * Distributes slices one by one, each to the worker that would finish it first, so that the last slice is finished as
 * early as possible.
 * @param initialCounts number of slices already assigned to each candidate; none by default
 * @returns number of slices assigned to each candidate, including the initial ones
 */
function countSlicesFor(
  sliceCount: number,
  candidates: readonly Candidate[],
  initialCounts?: readonly number[],
): number[] {
  const counts = candidates.map((_, index) => initialCounts?.[index] ?? 0);
  const order = new FinishOrder(candidates.map((candidate, index) => finishMs(candidate, counts[index] + 1)));
  for (let slice = 0; slice < sliceCount; slice++) {
    const best = order.first;
    counts[best]++;
    order.postponeFirst(finishMs(candidates[best], counts[best] + 1));
  }
  return counts;
}

function lastFinishMs(candidates: readonly Candidate[], counts: readonly number[]): number {
  return Math.max(...candidates.map((candidate, index) => finishMs(candidate, counts[index])));
}

/** How much longer a step may take with the same number of slices for everybody than with the fastest division. */
const evenTolerance = 1.02;

/**
 * Returns equal counts if a step takes hardly longer with them, otherwise the fastest counts. Equal counts make for fewer
 * ranges: of 1,024 slices, 32 relays with 31 or 32 workers get 32 each, which is one aligned range. 31 would be five.
 */
function evenCountsUnlessSlow(
  sliceCount: number,
  candidates: readonly Candidate[],
  fastest: readonly number[],
): readonly number[] {
  const [share, rest] = [Math.floor(sliceCount / candidates.length), sliceCount % candidates.length];
  const even = candidates.map((_, index) => (index < rest ? share + 1 : share));
  return lastFinishMs(candidates, even) <= evenTolerance * lastFinishMs(candidates, fastest) ? even : fastest;
}

/**
 * Divides slices so that the step is as short as possible. A worker so slow that it would delay the step gets none.
 * Slices stay with their owners where possible, because moving a slice means transferring its shard; none move unless
 * that shortens the step noticeably or an owner has left.
 * @param current current owner of each slice; owners that are not candidates have left
 * @param wanted slices to divide, as aligned ranges; all slices by default
 * @returns the owner of each slice, which is the current one if the slice is not wanted; the array `current` itself if
 * nothing changes
 */
export function divideSlices(
  sliceCount: number,
  candidates: readonly Candidate[],
  current: readonly number[] = [],
  wanted: readonly SliceRange[] = [{ first: 0, count: sliceCount }],
): readonly number[] {
  const wantedCount = sliceCountOf(wanted);
  const counts = evenCountsUnlessSlow(wantedCount, candidates, countSlicesFor(wantedCount, candidates));
  const owned = rangesByKey(wanted, sliceCount, (slice) => current[slice] ?? noOwner);
  const currentCounts = candidates.map(({ worker }) => sliceCountOf(owned.get(worker) ?? []));
  const isComplete = currentCounts.reduce((sum, count) => sum + count, 0) === wantedCount;
  if (isComplete && !isWorthwhile(lastFinishMs(candidates, currentCounts), lastFinishMs(candidates, counts))) {
    return current;
  }
  const owners = Array.from({ length: sliceCount }, (_, slice) => current[slice] ?? noOwner);
  for (const { first, count } of wanted) owners.fill(noOwner, first, first + count);
  const capacity = new Map(candidates.map((candidate, index) => [candidate, counts[index]]));
  const give = (candidate: Candidate, range: SliceRange) => {
    owners.fill(candidate.worker, range.first, range.first + range.count);
    capacity.set(candidate, capacity.get(candidate)! - range.count);
  };
  for (const candidate of candidates) {
    placeRanges(owned.get(candidate.worker) ?? [], (range) => {
      if (capacity.get(candidate) === 0) return 'dropped';
      if (range.count > capacity.get(candidate)!) return 'too-large';
      give(candidate, range);
      return 'placed';
    });
  }
  const open = rangesIn(wanted, sliceCount, (slice) => owners[slice] === noOwner);
  placeRanges(open, (range) => {
    const fitting = candidates.filter((candidate) => capacity.get(candidate)! >= range.count);
    const holding = fitting.filter((candidate) => holdsRange(candidate, range));
    const [first, ...others] = holding.length > 0 ? holding : fitting;
    if (first === undefined) return 'too-large';
    give(
      others.reduce((best, other) => (capacity.get(other)! > capacity.get(best)! ? other : best), first),
      range,
    );
    return 'placed';
  });
  // The capacities add up to the number of wanted slices, so each of them has an owner.
  return owners;
}

/**
 * Assigns ranges in the middle of a step, each to the worker that would finish it first; workers that hold all shards
 * of the range take precedence. Splits a range if that shortens the step, or if workers hold some of its shards but
 * none holds all of them.
 * @param assignedTo returns the number of slices already assigned to a worker
 */
export function assignRanges(
  ranges: readonly SliceRange[],
  candidates: readonly Candidate[],
  assignedTo: (worker: number) => number = () => 0,
): Assignment[] {
  if (candidates.length === 0) return [];
  const counts = candidates.map(({ worker }) => assignedTo(worker));
  const goalMs = lastFinishMs(candidates, countSlicesFor(sliceCountOf(ranges), candidates, counts));
  const assigned = candidates.map((): SliceRange[] => []);
  placeRanges(ranges, (range) => {
    const holders = candidates.flatMap((candidate, index) => (holdsRange(candidate, range) ? [index] : []));
    const isPartlyHeld = () => candidates.some((candidate) => holdsPart(candidate, range));
    if (holders.length === 0 && range.count > 1 && isPartlyHeld()) return 'too-large';
    const eligible = holders.length > 0 ? holders : candidates.map((_, index) => index);
    const doneMs = (index: number) => finishMs(candidates[index], counts[index] + range.count);
    const best = eligible.reduce((a, b) => (doneMs(b) < doneMs(a) ? b : a));
    if (range.count > 1 && doneMs(best) > goalMs) return 'too-large';
    counts[best] += range.count;
    assigned[best].push(range);
    return 'placed';
  });
  return candidates.flatMap(({ worker }, index) =>
    assigned[index].length > 0 ? [{ worker, ranges: assigned[index] }] : [],
  );
}

/**
 * Calls `offer` with each range, largest first. A range that is `too-large` is replaced by its children in the
 * reduction tree; one that is `dropped` is not offered again.
 */
function placeRanges(
  ranges: readonly SliceRange[],
  offer: (range: SliceRange) => 'placed' | 'dropped' | 'too-large',
): void {
  const open = [...ranges];
  while (open.length > 0) {
    const range = open.reduce((a, b) => (b.count > a.count || (b.count === a.count && b.first < a.first) ? b : a));
    open.splice(open.indexOf(range), 1);
    if (offer(range) === 'too-large') open.push(...childrenOf(range));
  }
}

/**
 * Returns the smallest set of aligned ranges that contains exactly the slices in these ranges with this property, in order.
 * No returned range spans two of the given ones.
 */
export function rangesIn(
  ranges: readonly SliceRange[],
  sliceCount: number,
  hasProperty: (slice: number) => boolean,
): SliceRange[] {
  return rangesByKey(ranges, sliceCount, hasProperty).get(true) ?? [];
}

/**
 * Returns for each key the smallest set of aligned ranges that contains exactly its slices, in order. No returned range
 * spans two of the given ranges.
 */
export function rangesByKey<Key>(
  ranges: readonly SliceRange[],
  sliceCount: number,
  keyOf: (slice: number) => Key,
): Map<Key, SliceRange[]> {
  const byKey = new Map<Key, SliceRange[]>();
  for (const range of ranges) {
    const end = range.first + range.count;
    for (let first = range.first; first < end;) {
      const key = keyOf(first);
      let next = first + 1;
      while (next < end && keyOf(next) === key) next++;
      const found = byKey.get(key) ?? [];
      byKey.set(key, found);
      found.push(...alignedRanges({ first, count: next - first }, sliceCount));
      first = next;
    }
  }
  return byKey;
}

export function sliceCountOf(ranges: readonly SliceRange[]): number {
  return ranges.reduce((sum, range) => sum + range.count, 0);
}

function holdsRange({ holds }: Candidate, { first, count }: SliceRange): boolean {
  for (let slice = first; slice < first + count; slice++) if (!holds(slice)) return false;
  return true;
}

function holdsPart({ holds }: Candidate, { first, count }: SliceRange): boolean {
  for (let slice = first; slice < first + count; slice++) if (holds(slice)) return true;
  return false;
}

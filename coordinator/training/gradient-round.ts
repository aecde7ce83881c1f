// One step's gradient as it comes in: which worker owes which range of the reduction tree, and the sum so far.
// Pure: no sockets, no timers, no clock. A worker may leave or join at any moment; arrival and departure are both
// methods, and whatever the order of calls, the sum is taken in the tree's order.
import {
  addInto,
  describeRange,
  relativesOf,
  sameRange,
  alignedRanges,
  type SliceRange,
} from '../../shared/reduction/slices.js';
import { assignRanges, rangesWhere, sliceCountOf, type Candidate, type Order } from '../scheduling/assignment.js';

/** What a worker reports of one slice beside its gradient. */
export interface SliceReport {
  lossSum: number;
  correctCount: number;
  /** The statistics vector of this slice alone. */
  batchStatistics: Float32Array;
}

/** The sum over one range of the tree. */
export interface PartialSum {
  range: SliceRange;
  /** Becomes the round's: it may be added to in place. */
  gradientSum: Float32Array;
  /** Images in the range's slices. */
  sampleCount: number;
  /** One per slice, in slice order. */
  slices: readonly SliceReport[];
}

/** What a whole step gave. */
export interface RoundResult {
  gradientSum: Float32Array;
  sampleCount: number;
  /** One per slice, in slice order. */
  slices: readonly SliceReport[];
}

export type Acceptance = 'accepted' | 'duplicate';

export class GradientRound {
  readonly #sliceCount: number;
  /** Nodes that each worker was given and has not answered. Two workers may owe the same slice. */
  readonly #owed = new Map<number, SliceRange[]>();
  /** Sums of ranges whose sibling is not there yet, by first slice. */
  readonly #pending = new Map<number, { range: SliceRange; sum: Float32Array }>();
  readonly #reports: (SliceReport | undefined)[];
  readonly #slices: { workers: number[]; answeredBy: number | null }[];
  /** Workers whose slices were given to others as well, whatever they have answered since. */
  readonly #late = new Set<number>();
  #sampleCount = 0;
  #result: RoundResult | undefined;

  constructor(sliceCount: number) {
    this.#sliceCount = sliceCount;
    this.#reports = Array.from({ length: sliceCount });
    this.#slices = Array.from({ length: sliceCount }, () => ({ workers: [], answeredBy: null }));
  }

  /** The sum over all slices once every one of them has been answered. */
  get result(): RoundResult | undefined {
    return this.#result;
  }

  /** For each slice who was given it, in that order, and whose answer counted: for people to look at. */
  get slices(): readonly { workers: readonly number[]; answeredBy: number | null }[] {
    return this.#slices;
  }

  /** Whether a worker's slices were given to others as well, and it has not answered all. */
  isLate(worker: number): boolean {
    return this.#late.has(worker) && this.#owed.has(worker);
  }

  /** The ranges that a worker was given and has not answered. */
  owedBy(worker: number): readonly SliceRange[] {
    return this.#owed.get(worker) ?? [];
  }

  /** What nobody owes and nobody has answered, as the fewest tree ranges, from left to right. */
  unassigned(): SliceRange[] {
    const isFree = Array.from({ length: this.#sliceCount }, (_, slice) => this.#reports[slice] === undefined);
    for (const { first, count } of [...this.#owed.values()].flat()) isFree.fill(false, first, first + count);
    return rangesWhere(this.#sliceCount, (slice) => isFree[slice]);
  }

  /** Nodes of this worker of which nobody else owes a slice and of which none has been answered. */
  owedAlone(worker: number): SliceRange[] {
    const others = [...this.#owed].flatMap(([other, ranges]) => (other === worker ? [] : ranges));
    return this.owedBy(worker).filter(
      (range) => !others.some((other) => overlap(range, other)) && !this.#isAnswered(range),
    );
  }

  /** Whether a range's answer would no longer count. */
  #isAnswered(range: SliceRange): boolean {
    return this.#reports.slice(range.first, range.first + range.count).some((report) => report !== undefined);
  }

  /** Gives a worker a range. @returns the tree ranges it is to send, from left to right */
  assign(worker: number, range: SliceRange): SliceRange[] {
    const ranges = alignedRanges(range, this.#sliceCount);
    this.#give(worker, ranges);
    return ranges;
  }

  #give(worker: number, ranges: readonly SliceRange[]): void {
    this.#owed.set(worker, [...this.owedBy(worker), ...ranges]);
    for (const { first, count } of ranges) {
      for (const { workers } of this.#slices.slice(first, first + count)) workers.push(worker);
    }
  }

  /** Deals everything unassigned to these. */
  assignRest(candidates: readonly Candidate[]): Order[] {
    return this.#deal(this.unassigned(), candidates);
  }

  /**
   * A worker is late: what it alone owes is dealt to these as well. The first answer counts.
   * @param candidates without the late worker
   */
  assignAgain(late: number, candidates: readonly Candidate[]): Order[] {
    const orders = this.#deal(this.owedAlone(late), candidates);
    if (orders.length > 0) this.#late.add(late);
    return orders;
  }

  #deal(ranges: readonly SliceRange[], candidates: readonly Candidate[]): Order[] {
    const orders = assignRanges(ranges, candidates, (worker) => sliceCountOf(this.owedBy(worker)));
    for (const { worker, ranges: given } of orders) this.#give(worker, given);
    return orders;
  }

  /** A worker left: what it owes is nobody's again. @returns how many slices that is */
  release(worker: number): number {
    const before = sliceCountOf(this.unassigned());
    this.#owed.delete(worker);
    return sliceCountOf(this.unassigned()) - before;
  }

  /**
   * Takes a worker's answer. The first answer for a slice counts; a range of which any slice has been answered is a
   * duplicate (its bits would be the same) and is dropped: what is left open of it is then unassigned unless others owe it.
   * Throws RangeError for a range that this worker does not owe or that does not fit its reports.
   */
  accept(worker: number, partial: PartialSum): Acceptance {
    const { range } = partial;
    const owed = this.owedBy(worker);
    const rest = owed.filter((other) => !sameRange(other, range));
    if (rest.length === owed.length || partial.slices.length !== range.count) {
      throw new RangeError(
        `${describeRange(range)} with ${partial.slices.length} reports was not asked of this worker`,
      );
    }
    if (rest.length > 0) this.#owed.set(worker, rest);
    else this.#owed.delete(worker);
    if (this.#isAnswered(range)) return 'duplicate';
    for (const [index, report] of partial.slices.entries()) {
      this.#reports[range.first + index] = report;
      this.#slices[range.first + index].answeredBy = worker;
    }
    this.#sampleCount += partial.sampleCount;
    this.#merge(range, partial.gradientSum);
    return 'accepted';
  }

  #merge(range: SliceRange, sum: Float32Array): void {
    const relatives = relativesOf(range, this.#sliceCount);
    if (relatives === undefined) {
      const slices = this.#reports.filter((report) => report !== undefined);
      this.#result = { gradientSum: sum, sampleCount: this.#sampleCount, slices };
      return;
    }
    const { parent, sibling } = relatives;
    const waiting = this.#pending.get(sibling.first);
    if (waiting === undefined || !sameRange(waiting.range, sibling)) {
      this.#pending.set(range.first, { range, sum });
      return;
    }
    this.#pending.delete(sibling.first);
    addInto(waiting.sum, sum);
    this.#merge(parent, waiting.sum);
  }
}

function overlap(a: SliceRange, b: SliceRange): boolean {
  return a.first < b.first + b.count && b.first < a.first + a.count;
}

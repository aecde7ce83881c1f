// One step's gradient as it comes in: which worker owes which node of the reduction tree, and the sum so far.
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

/** The sum over one node of the tree. */
export interface PartialSum {
  node: SliceRange;
  /** Becomes the round's: it may be added to in place. */
  gradientSum: Float32Array;
  /** Images in the node's slices. */
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
  /** Sums of nodes whose sibling is not there yet, by first slice. */
  readonly #pending = new Map<number, { node: SliceRange; sum: Float32Array }>();
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

  /** The nodes that a worker was given and has not answered. */
  owedBy(worker: number): readonly SliceRange[] {
    return this.#owed.get(worker) ?? [];
  }

  /** What nobody owes and nobody has answered, as the fewest tree nodes, from left to right. */
  unassigned(): SliceRange[] {
    const isFree = Array.from({ length: this.#sliceCount }, (_, slice) => this.#reports[slice] === undefined);
    for (const { first, count } of [...this.#owed.values()].flat()) isFree.fill(false, first, first + count);
    return rangesWhere(this.#sliceCount, (slice) => isFree[slice]);
  }

  /** Nodes of this worker of which nobody else owes a slice and of which none has been answered. */
  owedAlone(worker: number): SliceRange[] {
    const others = [...this.#owed].flatMap(([other, nodes]) => (other === worker ? [] : nodes));
    return this.owedBy(worker).filter(
      (node) => !others.some((other) => overlap(node, other)) && !this.#isAnswered(node),
    );
  }

  /** Whether a node's answer would no longer count. */
  #isAnswered(node: SliceRange): boolean {
    return this.#reports.slice(node.first, node.first + node.count).some((report) => report !== undefined);
  }

  /** Gives a worker a range. @returns the tree nodes it is to send, from left to right */
  assign(worker: number, range: SliceRange): SliceRange[] {
    const nodes = alignedRanges(range, this.#sliceCount);
    this.#give(worker, nodes);
    return nodes;
  }

  #give(worker: number, nodes: readonly SliceRange[]): void {
    this.#owed.set(worker, [...this.owedBy(worker), ...nodes]);
    for (const { first, count } of nodes) {
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

  #deal(nodes: readonly SliceRange[], candidates: readonly Candidate[]): Order[] {
    const orders = assignRanges(nodes, candidates, (worker) => sliceCountOf(this.owedBy(worker)));
    for (const { worker, nodes: given } of orders) this.#give(worker, given);
    return orders;
  }

  /** A worker left: what it owes is nobody's again. @returns how many slices that is */
  release(worker: number): number {
    const before = sliceCountOf(this.unassigned());
    this.#owed.delete(worker);
    return sliceCountOf(this.unassigned()) - before;
  }

  /**
   * Takes a worker's answer. The first answer for a slice counts; a node of which any slice has been answered is a
   * duplicate (its bits would be the same) and is dropped: what is left open of it is then unassigned unless others owe it.
   * Throws RangeError for a node that this worker does not owe or that does not fit its reports.
   */
  accept(worker: number, partial: PartialSum): Acceptance {
    const { node } = partial;
    const owed = this.owedBy(worker);
    const rest = owed.filter((other) => !sameRange(other, node));
    if (rest.length === owed.length || partial.slices.length !== node.count) {
      throw new RangeError(`${describeRange(node)} with ${partial.slices.length} reports was not asked of this worker`);
    }
    if (rest.length > 0) this.#owed.set(worker, rest);
    else this.#owed.delete(worker);
    if (this.#isAnswered(node)) return 'duplicate';
    for (const [index, report] of partial.slices.entries()) {
      this.#reports[node.first + index] = report;
      this.#slices[node.first + index].answeredBy = worker;
    }
    this.#sampleCount += partial.sampleCount;
    this.#merge(node, partial.gradientSum);
    return 'accepted';
  }

  #merge(node: SliceRange, sum: Float32Array): void {
    const relatives = relativesOf(node, this.#sliceCount);
    if (relatives === undefined) {
      const slices = this.#reports.filter((report) => report !== undefined);
      this.#result = { gradientSum: sum, sampleCount: this.#sampleCount, slices };
      return;
    }
    const { parent, sibling } = relatives;
    const waiting = this.#pending.get(sibling.first);
    if (waiting === undefined || !sameRange(waiting.node, sibling)) {
      this.#pending.set(node.first, { node, sum });
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

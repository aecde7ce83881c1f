// One step's gradient as it comes in: which worker owes which node of the reduction tree, and the sum so far.
// Pure: no sockets, no timers, no clock. A worker may leave or join at any moment; arrival and departure are both
// methods, and whatever the order of calls, the sum is taken in the tree's order.
import {
  addInto,
  childrenOf,
  describeRange,
  relativesOf,
  sameRange,
  treeNodesOf,
  type SliceRange,
} from '../shared/slices.js';

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

/** Work for one worker. */
export interface Order {
  worker: number;
  nodes: SliceRange[];
}

export class GradientRound {
  readonly #sliceCount: number;
  /** Nodes that each worker was given and has not answered. Two workers may owe the same slice. */
  readonly #owed = new Map<number, SliceRange[]>();
  /** Sums of nodes whose sibling is not there yet, by first slice. */
  readonly #pending = new Map<number, { node: SliceRange; sum: Float32Array }>();
  readonly #reports: (SliceReport | undefined)[];
  #sampleCount = 0;
  #result: RoundResult | undefined;

  constructor(sliceCount: number) {
    this.#sliceCount = sliceCount;
    this.#reports = Array.from({ length: sliceCount });
  }

  /** The sum over all slices once every one of them has been answered. */
  get result(): RoundResult | undefined {
    return this.#result;
  }

  /** The nodes that a worker was given and has not answered. */
  owedBy(worker: number): readonly SliceRange[] {
    return this.#owed.get(worker) ?? [];
  }

  /** What nobody owes and nobody has answered, as the fewest tree nodes, from left to right. */
  unassigned(): SliceRange[] {
    const isFree = Array.from({ length: this.#sliceCount }, (_, slice) => this.#reports[slice] === undefined);
    for (const { first, count } of [...this.#owed.values()].flat()) isFree.fill(false, first, first + count);
    const nodes: SliceRange[] = [];
    for (let first = 0; first < this.#sliceCount; first++) {
      let end = first;
      while (isFree[end]) end++;
      nodes.push(...treeNodesOf({ first, count: end - first }, this.#sliceCount));
      first = end;
    }
    return nodes;
  }

  /** Gives a worker a range. @returns the tree nodes it is to send, from left to right */
  assign(worker: number, range: SliceRange): SliceRange[] {
    const nodes = treeNodesOf(range, this.#sliceCount);
    this.#owed.set(worker, [...this.owedBy(worker), ...nodes]);
    return nodes;
  }

  /**
   * Deals everything unassigned to the workers given, those that owe least first; a node is divided where there are
   * more workers than nodes.
   */
  assignRest(workers: readonly number[]): Order[] {
    let nodes = this.unassigned();
    if (workers.length === 0 || nodes.length === 0) return [];
    while (nodes.length < workers.length && nodes.some((node) => node.count > 1)) {
      const largest = nodes.reduce((a, b) => (b.count > a.count ? b : a));
      nodes = nodes.flatMap((node) => (sameRange(node, largest) ? childrenOf(node) : [node]));
    }
    const load = new Map(workers.map((worker) => [worker, sliceCountOf(this.owedBy(worker))]));
    const orders = new Map<number, SliceRange[]>();
    for (const node of nodes.toSorted((a, b) => b.count - a.count || a.first - b.first)) {
      const [worker, owed] = [...load].reduce((a, b) => (b[1] < a[1] ? b : a));
      load.set(worker, owed + node.count);
      orders.set(worker, [...(orders.get(worker) ?? []), ...this.assign(worker, node)]);
    }
    return [...orders].map(([worker, ordered]) => ({ worker, nodes: ordered }));
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
    const places = Array.from({ length: node.count }, (_, index) => node.first + index);
    if (places.some((slice) => this.#reports[slice] !== undefined)) return 'duplicate';
    for (const [index, slice] of places.entries()) this.#reports[slice] = partial.slices[index];
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

function sliceCountOf(nodes: readonly SliceRange[]): number {
  return nodes.reduce((sum, node) => sum + node.count, 0);
}

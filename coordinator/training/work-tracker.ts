// Tracks which items of a job are assigned to which workers, and which have been answered. Items are slices of a step
// or shards of an evaluation. Workers may join, leave, answer late or answer twice, in any order. Pure: no sockets, no
// timers, no clock.
import { describeRange, sameRange, type SliceRange } from '../../shared/reduction/slices.js';
import { rangesIn, type Assignment } from '../scheduling/assignment.js';

export class WorkTracker {
  /** Ranges that each worker was assigned and has not answered. An item may be assigned to several workers. */
  readonly #assigned = new Map<number, readonly SliceRange[]>();
  /** Aligned ranges of the items to answer. */
  #wanted: readonly SliceRange[] = [];
  /** For each item, whether it has been answered; true for items that are not wanted. */
  readonly #isAnswered: boolean[];
  /** For each item, the number of ranges in #assigned that contain it. */
  readonly #assignedCounts: number[];
  #openCount = 0;
  #remaining = 0;
  #reassigned = 0;

  /** @param wanted aligned ranges of the items to answer; all items by default */
  constructor(itemCount: number, wanted: readonly SliceRange[] = [{ first: 0, count: itemCount }]) {
    this.#isAnswered = Array.from({ length: itemCount }, () => true);
    this.#assignedCounts = Array.from({ length: itemCount }, () => 0);
    this.want(wanted);
  }

  /** Adds items to answer. They may have been answered before, but must not be unanswered now. */
  want(ranges: readonly SliceRange[]): void {
    this.#wanted = [...this.#wanted.filter((range) => !this.#isComplete(range)), ...ranges];
    for (const range of ranges) {
      this.#isAnswered.fill(false, range.first, range.first + range.count);
      this.#remaining += range.count;
      this.#openCount += this.#openIn(range);
    }
  }

  /** Aligned ranges of the items to answer, answered or not. */
  get wanted(): readonly SliceRange[] {
    return this.#wanted;
  }

  /** Number of items that have not been answered. */
  get remaining(): number {
    return this.#remaining;
  }

  /** Number of items that became open because their worker left. */
  get reassigned(): number {
    return this.#reassigned;
  }

  /** Returns the ranges that a worker was assigned and has not answered. */
  assignedTo(worker: number): readonly SliceRange[] {
    return this.#assigned.get(worker) ?? [];
  }

  isAssigned(worker: number, range: SliceRange): boolean {
    return this.assignedTo(worker).some((assigned) => sameRange(assigned, range));
  }

  /** Whether any item is open: neither assigned nor answered. */
  get hasOpen(): boolean {
    return this.#openCount > 0;
  }

  /** Returns the open items as the smallest set of aligned ranges within the wanted ranges, in order. */
  open(): SliceRange[] {
    return rangesIn(this.#wanted, this.#isAnswered.length, (item) => this.#isOpen(item));
  }

  /** Returns the ranges assigned to a worker in which no item is answered or also assigned to another worker. */
  assignedOnlyTo(worker: number): SliceRange[] {
    return this.assignedTo(worker).filter(
      (range) => this.#countIn(range, (item) => this.#assignedCounts[item] > 1 || this.#isAnswered[item]) === 0,
    );
  }

  assign({ worker, ranges }: Assignment): void {
    this.#assigned.set(worker, [...this.assignedTo(worker), ...ranges]);
    for (const range of ranges) this.#countAssigned(range, 1);
  }

  /** Drops the outstanding assignments of a worker that has left. */
  release(worker: number): void {
    const released = this.assignedTo(worker);
    this.#assigned.delete(worker);
    for (const range of released) {
      this.#countAssigned(range, -1);
      this.#reassigned += this.#openIn(range);
    }
  }

  /**
   * Records an answer, which is accepted if none of its items has been answered. Otherwise, it is a duplicate and must
   * be ignored; those of its items that have not been answered become open, unless another worker is assigned them.
   * Throws RangeError if the worker has no outstanding assignment for the range.
   */
  answer(worker: number, range: SliceRange): 'accepted' | 'duplicate' {
    if (!this.isAssigned(worker, range))
      throw new RangeError(`worker ${worker} has no outstanding assignment for ${describeRange(range)}`);
    const rest = this.assignedTo(worker).filter((other) => !sameRange(other, range));
    if (rest.length > 0) this.#assigned.set(worker, rest);
    else this.#assigned.delete(worker);
    this.#countAssigned(range, -1);
    if (this.#countIn(range, (item) => this.#isAnswered[item]) > 0) return 'duplicate';
    this.#openCount -= this.#openIn(range);
    this.#isAnswered.fill(true, range.first, range.first + range.count);
    this.#remaining -= range.count;
    return 'accepted';
  }

  /** Records that a range has been assigned (1), or no longer is (-1). */
  #countAssigned(range: SliceRange, change: 1 | -1): void {
    this.#openCount -= this.#openIn(range);
    for (let item = range.first; item < range.first + range.count; item++) this.#assignedCounts[item] += change;
    this.#openCount += this.#openIn(range);
  }

  #isOpen(item: number): boolean {
    return !this.#isAnswered[item] && this.#assignedCounts[item] === 0;
  }

  #openIn(range: SliceRange): number {
    return this.#countIn(range, (item) => this.#isOpen(item));
  }

  #isComplete(range: SliceRange): boolean {
    return this.#countIn(range, (item) => this.#isAnswered[item]) === range.count;
  }

  #countIn({ first, count }: SliceRange, hasProperty: (item: number) => boolean): number {
    let counted = 0;
    for (let item = first; item < first + count; item++) if (hasProperty(item)) counted++;
    return counted;
  }
}

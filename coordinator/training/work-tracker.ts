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
  #remaining = 0;
  #reassigned = 0;

  /** @param wanted aligned ranges of the items to answer; all items by default */
  constructor(itemCount: number, wanted: readonly SliceRange[] = [{ first: 0, count: itemCount }]) {
    this.#isAnswered = Array.from({ length: itemCount }, () => true);
    this.want(wanted);
  }

  /** Adds items to answer. They may have been answered before, but must not be unanswered now. */
  want(ranges: readonly SliceRange[]): void {
    this.#wanted = [...this.#wanted.filter((range) => !this.#isComplete(range)), ...ranges];
    for (const { first, count } of ranges) {
      this.#isAnswered.fill(false, first, first + count);
      this.#remaining += count;
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

  /**
   * Returns the open items, which are neither assigned nor answered, as the smallest set of aligned ranges within the
   * wanted ranges, in order.
   */
  open(): SliceRange[] {
    const isOpen = this.#openItems();
    return rangesIn(this.#wanted, isOpen.length, (item) => isOpen[item]);
  }

  /** Returns the ranges assigned to a worker in which no item is answered or also assigned to another worker. */
  assignedOnlyTo(worker: number): SliceRange[] {
    const others = [...this.#assigned].flatMap(([other, ranges]) => (other === worker ? [] : ranges));
    return this.assignedTo(worker).filter(
      (range) => !others.some((other) => overlap(range, other)) && !this.#hasAnswerIn(range),
    );
  }

  assign({ worker, ranges }: Assignment): void {
    this.#assigned.set(worker, [...this.assignedTo(worker), ...ranges]);
  }

  /** Drops the outstanding assignments of a worker that has left. */
  release(worker: number): void {
    const released = this.assignedTo(worker);
    this.#assigned.delete(worker);
    const isOpen = this.#openItems();
    for (const { first, count } of released) {
      this.#reassigned += isOpen.slice(first, first + count).filter(Boolean).length;
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
    if (this.#hasAnswerIn(range)) return 'duplicate';
    this.#isAnswered.fill(true, range.first, range.first + range.count);
    this.#remaining -= range.count;
    return 'accepted';
  }

  /** Returns for each item whether it is open. */
  #openItems(): boolean[] {
    const isOpen = this.#isAnswered.map((isAnswered) => !isAnswered);
    for (const { first, count } of [...this.#assigned.values()].flat()) isOpen.fill(false, first, first + count);
    return isOpen;
  }

  #isComplete({ first, count }: SliceRange): boolean {
    return !this.#isAnswered.slice(first, first + count).includes(false);
  }

  #hasAnswerIn({ first, count }: SliceRange): boolean {
    return this.#isAnswered.slice(first, first + count).includes(true);
  }
}

function overlap(a: SliceRange, b: SliceRange): boolean {
  return a.first < b.first + b.count && b.first < a.first + a.count;
}

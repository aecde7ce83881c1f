// Who owes which items of a job, and which items are answered: slices of a step, or shards of an evaluation. Workers may
// join, leave, answer late or answer twice, in any order. Pure: no sockets, no timers, no clock.
import { describeRange, sameRange, type SliceRange } from '../../shared/reduction/slices.js';
import { rangesWhere, sliceCountOf, type Assignment } from '../scheduling/assignment.js';

export class WorkTracker {
  /** Ranges that each worker was assigned and has not answered. Two workers may owe the same item. */
  readonly #owed = new Map<number, readonly SliceRange[]>();
  readonly #isAnswered: boolean[];
  #remaining: number;
  #reassigned = 0;

  constructor(itemCount: number) {
    this.#isAnswered = Array.from({ length: itemCount }, () => false);
    this.#remaining = itemCount;
  }

  /** Number of items that nobody has answered. */
  get remaining(): number {
    return this.#remaining;
  }

  /** Number of items that became open because their worker left. */
  get reassigned(): number {
    return this.#reassigned;
  }

  /** Ranges that a worker was assigned and has not answered. */
  owedBy(worker: number): readonly SliceRange[] {
    return this.#owed.get(worker) ?? [];
  }

  owes(worker: number, range: SliceRange): boolean {
    return this.owedBy(worker).some((owed) => sameRange(owed, range));
  }

  /** Items that nobody owes and nobody has answered, as the fewest aligned ranges, in order. */
  open(): SliceRange[] {
    const isOpen = this.#isAnswered.map((isAnswered) => !isAnswered);
    for (const { first, count } of [...this.#owed.values()].flat()) isOpen.fill(false, first, first + count);
    return rangesWhere(isOpen.length, (item) => isOpen[item]);
  }

  /** Unanswered ranges of a worker of which nobody else owes an item. */
  owedOnlyBy(worker: number): SliceRange[] {
    const others = [...this.#owed].flatMap(([other, ranges]) => (other === worker ? [] : ranges));
    return this.owedBy(worker).filter(
      (range) => !others.some((other) => overlap(range, other)) && !this.#hasAnswerIn(range),
    );
  }

  assign({ worker, ranges }: Assignment): void {
    this.#owed.set(worker, [...this.owedBy(worker), ...ranges]);
  }

  /** A worker left: nobody owes its ranges any more. */
  release(worker: number): void {
    const before = sliceCountOf(this.open());
    this.#owed.delete(worker);
    this.#reassigned += sliceCountOf(this.open()) - before;
  }

  /**
   * Records an answer. The first answer for an item is accepted. An answer that contains an answered item is a duplicate
   * (its bits would be the same); the rest of its range is then open unless others owe it.
   * Throws RangeError for a range that the worker does not owe.
   */
  answer(worker: number, range: SliceRange): 'accepted' | 'duplicate' {
    if (!this.owes(worker, range)) throw new RangeError(`worker ${worker} does not owe ${describeRange(range)}`);
    const rest = this.owedBy(worker).filter((other) => !sameRange(other, range));
    if (rest.length > 0) this.#owed.set(worker, rest);
    else this.#owed.delete(worker);
    if (this.#hasAnswerIn(range)) return 'duplicate';
    this.#isAnswered.fill(true, range.first, range.first + range.count);
    this.#remaining -= range.count;
    return 'accepted';
  }

  #hasAnswerIn({ first, count }: SliceRange): boolean {
    return this.#isAnswered.slice(first, first + count).includes(true);
  }
}

function overlap(a: SliceRange, b: SliceRange): boolean {
  return a.first < b.first + b.count && b.first < a.first + a.count;
}

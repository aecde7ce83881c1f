// The order in which workers would finish, as a binary heap: with a thousand workers and slices, searching all workers for
// every slice would take most of the coordinator's time. Pure.

export class FinishOrder {
  /** Time at which each worker would finish, by its index. */
  readonly #finishMs: number[];
  /** Indices of the workers. Each comes before its children, which are at 2i + 1 and 2i + 2. */
  readonly #heap: number[];

  /** @param finishMs time at which each worker would finish */
  constructor(finishMs: readonly number[]) {
    this.#finishMs = [...finishMs];
    // A sorted array is a heap.
    this.#heap = finishMs.map((_, index) => index).toSorted((a, b) => this.#compare(a, b));
  }

  /** Index of the worker that would finish first; of several, the lowest index. */
  get first(): number {
    return this.#heap[0];
  }

  /** Sets a later time for the first worker. */
  postponeFirst(finishMs: number): void {
    const heap = this.#heap;
    const moved = heap[0];
    this.#finishMs[moved] = finishMs;
    let at = 0;
    for (;;) {
      const [left, right] = [2 * at + 1, 2 * at + 2];
      const child = right < heap.length && this.#compare(heap[right], heap[left]) < 0 ? right : left;
      if (child >= heap.length || this.#compare(moved, heap[child]) <= 0) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = moved;
  }

  #compare(a: number, b: number): number {
    return this.#finishMs[a] - this.#finishMs[b] || a - b;
  }
}

// What each worker did in one step, how long it took, and who was waited for.
import type { Clock } from '../../shared/clock.js';
import type { GradientMessage } from '../../shared/protocol/messages.js';

/** Where a worker's time in a step went, in milliseconds. */
export type WorkerPhases = GradientMessage['phases'];

export interface WorkerWork {
  name: string;
  /** Images whose gradients counted. */
  images: number;
  /** Of the answers that counted, added up. */
  phases: WorkerPhases;
  /** Milliseconds in which all others had answered and this one had not; 0 for all but the last one. */
  waitedForMs: number;
}

export class StepContributions {
  readonly #clock: Clock;
  readonly #work = new Map<number, Omit<WorkerWork, 'waitedForMs'>>();
  /** Moments of the answers that counted, the latest of each worker. */
  readonly #answeredMs = new Map<number, number>();
  #reduceMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Adding partials takes this long. */
  timed<Result>(add: () => Result): Result {
    const started = performance.now();
    const result = add();
    this.#reduceMs += performance.now() - started;
    return result;
  }

  counted(worker: { readonly id: number; readonly name: string }, { sampleCount, phases }: GradientMessage): void {
    const before = this.#work.get(worker.id);
    this.#work.delete(worker.id);
    this.#work.set(worker.id, {
      name: worker.name,
      images: (before?.images ?? 0) + sampleCount,
      phases: addPhases(before?.phases, phases),
    });
    this.#answeredMs.delete(worker.id);
    this.#answeredMs.set(worker.id, this.#clock.now());
  }

  summary(): { work: WorkerWork[]; reduceMs: number } {
    const moments = [...this.#answeredMs.values()];
    const [last, lastButOne] = [moments.at(-1) ?? 0, moments.at(-2) ?? moments.at(-1) ?? 0];
    const work = [...this.#work.values()];
    return {
      work: work.map(({ name, images, phases }, index) => {
        const waitedForMs = index === work.length - 1 ? last - lastButOne : 0;
        return { name, images, phases, waitedForMs };
      }),
      reduceMs: this.#reduceMs,
    };
  }
}

function addPhases(sum: WorkerPhases | undefined, more: WorkerPhases): WorkerPhases {
  if (sum === undefined) return more;
  return {
    waitMs: sum.waitMs + more.waitMs,
    augmentMs: sum.augmentMs + more.augmentMs,
    computeMs: sum.computeMs + more.computeMs,
    reduceMs: sum.reduceMs + more.reduceMs,
    sendMs: sum.sendMs + more.sendMs,
  };
}

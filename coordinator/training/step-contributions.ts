// Collects each worker's contribution to one step: the number of images, the durations of the worker's phases, and the
// time during which only that worker's answer was missing.
import type { Clock } from '../../shared/clock.js';
import type { WorkerContribution, WorkerPhases } from '../run/step-phases.js';

/** What a worker contributed with one or several answers. */
type Contribution = Omit<WorkerContribution, 'waitedForMs'>;

/** An accepted answer. A relay's answer lists the contributions of its workers. */
interface Answer {
  sampleCount: number;
  phases: WorkerPhases;
  contributions?: readonly Contribution[] | undefined;
}

export class StepContributions {
  readonly #clock: Clock;
  /** Contributions by connection and name, those of the latest answer last. */
  readonly #contributions = new Map<string, Contribution>();
  /** Time of each connection's latest answer, in the order of these answers. */
  readonly #answeredMs = new Map<number, number>();
  #reduceMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Runs a function that adds partial sums, and records the time that it takes. */
  timed<Result>(add: () => Result): Result {
    const startedMs = performance.now();
    const result = add();
    this.#reduceMs += performance.now() - startedMs;
    return result;
  }

  /** Adds an accepted answer to the contributions of the worker, or to those of the workers behind the relay. */
  add({ id, name }: { id: number; name: string }, { sampleCount, phases, contributions }: Answer): void {
    this.#answeredMs.delete(id);
    this.#answeredMs.set(id, this.#clock.now());
    for (const added of contributions ?? [{ name, images: sampleCount, phases }]) {
      const key = `${id} ${added.name}`;
      const before = this.#contributions.get(key);
      this.#contributions.delete(key);
      this.#contributions.set(key, before === undefined ? added : sumOf(before, added));
    }
  }

  summary(): { contributions: WorkerContribution[]; reduceMs: number } {
    const [last = 0, previous = last] = [...this.#answeredMs.values()].slice(-2).toReversed();
    const all = [...this.#contributions.values()];
    const contributions = all.map((contribution, index) => ({
      ...contribution,
      // The workers behind a relay are listed in the order of their answers.
      waitedForMs: index === all.length - 1 ? last - previous : 0,
    }));
    return { contributions, reduceMs: this.#reduceMs };
  }
}

function sumOf(a: Contribution, b: Contribution): Contribution {
  return { name: a.name, images: a.images + b.images, phases: addPhases(a.phases, b.phases) };
}

export function addPhases(a: WorkerPhases, b: WorkerPhases): WorkerPhases {
  return {
    waitMs: a.waitMs + b.waitMs,
    augmentMs: a.augmentMs + b.augmentMs,
    computeMs: a.computeMs + b.computeMs,
    reduceMs: a.reduceMs + b.reduceMs,
    sendMs: a.sendMs + b.sendMs,
  };
}

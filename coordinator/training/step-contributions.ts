// Collects each worker's contribution to one step: the number of images, the durations of the worker's phases, and the
// time during which only that worker's answer was missing.
import type { Clock } from '../../shared/clock.js';
import type { WorkerContribution, WorkerPhases } from '../run/step-phases.js';

export class StepContributions {
  readonly #clock: Clock;
  /** Contributions by worker id, in the order of the workers' latest answers. */
  readonly #byWorker = new Map<number, Omit<WorkerContribution, 'waitedForMs'> & { answeredMs: number }>();
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

  /**
   * Adds an accepted answer to the worker's contribution. The phases of a relay are divided by the number of its workers,
   * which compute at the same time.
   */
  add(
    { id, name, parallelism }: { id: number; name: string; parallelism: number },
    { sampleCount, phases: added }: { sampleCount: number; phases: WorkerPhases },
  ): void {
    const phases = parallelism > 1 ? divided(added, parallelism) : added;
    const before = this.#byWorker.get(id);
    this.#byWorker.delete(id);
    this.#byWorker.set(id, {
      name,
      images: (before?.images ?? 0) + sampleCount,
      phases: before === undefined ? phases : addPhases(before.phases, phases),
      answeredMs: this.#clock.now(),
    });
  }

  summary(): { contributions: WorkerContribution[]; reduceMs: number } {
    const all = [...this.#byWorker.values()];
    const [last, previous] = [all.at(-1), all.at(-2)];
    const contributions = all.map(({ answeredMs, ...contribution }) => ({
      ...contribution,
      waitedForMs: answeredMs === last?.answeredMs && previous !== undefined ? answeredMs - previous.answeredMs : 0,
    }));
    return { contributions, reduceMs: this.#reduceMs };
  }
}

function divided({ waitMs, augmentMs, computeMs, reduceMs, sendMs }: WorkerPhases, by: number): WorkerPhases {
  return {
    waitMs: waitMs / by,
    augmentMs: augmentMs / by,
    computeMs: computeMs / by,
    reduceMs: reduceMs / by,
    sendMs: sendMs / by,
  };
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

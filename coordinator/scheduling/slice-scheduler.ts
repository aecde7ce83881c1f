// Who is asked for what at the beginning of a step: the standing division of the slices, and what is known of the
// workers. It outlives the steps; what happens within one is collect-gradient.ts.
import { medianOf } from '../../shared/median.js';
import { divideSlices, rangesWhere, type Candidate, type Order } from './assignment.js';
import type { GradientRound } from '../training/gradient-round.js';
import { SliceTimes } from './straggler-watch.js';
import type { WorkerConnection } from '../connections/worker-connection.js';

/** How often a worker without slices computes one that another has too: its speed is known, and its engine warm. */
const stepsBetweenTrials = 25;

/** Workers that are not busy with an earlier step, or all where there are no others. */
export function available(workers: readonly WorkerConnection[], step: number): readonly WorkerConnection[] {
  const free = workers.filter((worker) => !worker.owesBefore(step));
  return free.length > 0 ? free : workers;
}

export class SliceScheduler {
  readonly sliceTimes = new SliceTimes();
  /** Of parts of an evaluation. */
  readonly partTimes = new SliceTimes();
  readonly #shards: readonly string[];
  readonly #imagesPerSlice: number;
  #owners: readonly number[] = [];
  #round: GradientRound | undefined;
  readonly #lastTrial = new WeakMap<WorkerConnection, number>();

  /** @param shards the hash of each slice's shard */
  constructor(shards: readonly string[], imagesPerSlice: number) {
    this.#shards = shards;
    this.#imagesPerSlice = imagesPerSlice;
  }

  /** The owner of each slice; empty before the first step. One that is not here any more has left since. */
  get owners(): readonly number[] {
    return this.#owners;
  }

  /** The running step's, or the latest's; undefined before the first. */
  get round(): GradientRound | undefined {
    return this.#round;
  }

  /** What is known of these workers; of those that have not been measured, that they are like the others. */
  candidates(workers: readonly WorkerConnection[]): Candidate[] {
    const known = workers.flatMap(({ speed }) => speed.imageMs ?? []);
    const commonImageMs = known.length > 0 ? medianOf(known) : 1;
    return workers.map((worker) => ({
      worker: worker.id,
      sliceMs: (worker.speed.imageMs ?? commonImageMs) * this.#imagesPerSlice,
      fixedMs: worker.speed.fixedMs,
      holds: (slice) => worker.holds(this.#shards[slice]),
    }));
  }

  /**
   * Deals a step's slices: each to its owner, unless that one is still busy with an earlier step, or has not got the
   * shard yet that another has.
   */
  begin(round: GradientRound, workers: readonly WorkerConnection[], step: number): Order[] {
    this.#round = round;
    this.#owners = divideSlices(this.#shards.length, this.candidates(workers), this.#owners);
    const candidates = this.candidates(available(workers, step));
    const isHeld = this.#shards.map((_, slice) => candidates.some(({ holds }) => holds(slice)));
    for (const { worker, holds } of candidates) {
      const own = (slice: number) => this.#owners[slice] === worker && (holds(slice) || !isHeld[slice]);
      for (const range of rangesWhere(this.#shards.length, own)) round.assign(worker, range);
    }
    round.assignRest(candidates);
    return candidates.flatMap(({ worker }) => {
      const ranges = [...round.owedBy(worker)];
      return ranges.length > 0 ? [{ worker, ranges }] : [];
    });
  }

  /**
   * For workers without slices, if it is time, one that they hold: not of the round, because a larger range with this
   * slice in it would not count any more if this answer came first.
   */
  trials(round: GradientRound, workers: readonly WorkerConnection[], step: number): Order[] {
    return workers.flatMap((worker) => {
      if (round.owedBy(worker.id).length > 0 || worker.owesBefore(step)) return [];
      const isDue = worker.speed.imageMs === undefined || step - this.#lastTrialOf(worker, step) >= stepsBetweenTrials;
      const slice = this.#shards.findIndex((sha256) => worker.holds(sha256));
      if (!isDue || slice < 0) return [];
      this.#lastTrial.set(worker, step);
      return [{ worker: worker.id, ranges: [{ first: slice, count: 1 }] }];
    });
  }

  /** The step of its last trial; for one that has never been tried, the step in which it is first seen without slices. */
  #lastTrialOf(worker: WorkerConnection, step: number): number {
    const last = this.#lastTrial.get(worker) ?? step;
    this.#lastTrial.set(worker, last);
    return last;
  }
}

// Decides which worker computes which slices: maintains the division of slices across steps, and schedules probes of
// idle workers. The dispatcher handles events within a step. Pure.
import { medianOf } from '../../shared/median.js';
import type { SliceRange } from '../../shared/reduction/slices.js';
import {
  assignRanges,
  divideSlices,
  rangesByKey,
  sliceCountOf,
  type Assignment,
  type Candidate,
} from './assignment.js';
import { ItemDurations } from './straggler-watch.js';
import type { WorkerView } from './worker-load.js';

/**
 * Number of steps between two probes of an idle worker. A probe is a slice that another worker computes too; it
 * measures the idle worker's speed and keeps its engine warm.
 */
const stepsBetweenProbes = 25;

export class SliceScheduler {
  readonly sliceDurations = new ItemDurations();
  readonly #shards: readonly string[];
  readonly #imagesPerSlice: number;
  #owners: readonly number[] = [];
  readonly #lastProbe = new WeakMap<WorkerView, number>();

  /** @param shards hash of each slice's shard */
  constructor(shards: readonly string[], imagesPerSlice: number) {
    this.#shards = shards;
    this.#imagesPerSlice = imagesPerSlice;
  }

  get sliceCount(): number {
    return this.#shards.length;
  }

  /**
   * Id of each slice's owner, which may have left since, or `noOwner` for slices that have never been assigned; empty before
   * the first step.
   */
  get owners(): readonly number[] {
    return this.#owners;
  }

  /**
   * Updates the owners, then assigns the slices of a step: each to its owner, unless the owner is not available, or
   * lacks the shard while another available worker holds it.
   * @param workers all connected workers, any of which may own slices
   * @param available workers that may be assigned slices in this step (see availableWorkers)
   * @param wanted slices to assign, as aligned ranges; all slices by default
   */
  assignStep(
    workers: readonly WorkerView[],
    available: readonly WorkerView[],
    wanted: readonly SliceRange[] = [{ first: 0, count: this.#shards.length }],
  ): Assignment[] {
    const sliceCount = this.#shards.length;
    const all = this.#candidates(workers);
    this.#owners = divideSlices(sliceCount, all, this.#owners, wanted);
    const availableIds = new Set(available.map(({ id }) => id));
    const candidates = all.filter(({ worker }) => availableIds.has(worker));
    const byId = new Map(candidates.map((candidate) => [candidate.worker, candidate]));
    const isHeld = (slice: number) => candidates.some(({ holds }) => holds(slice));
    const assigned = rangesByKey(wanted, sliceCount, (slice) => {
      const owner = byId.get(this.#owners[slice]);
      return owner !== undefined && (owner.holds(slice) || !isHeld(slice)) ? owner.worker : undefined;
    });
    const rangesOf = (worker: number) => assigned.get(worker) ?? [];
    const open = assigned.get(undefined) ?? [];
    const more = new Map(
      assignRanges(open, candidates, (worker) => sliceCountOf(rangesOf(worker))).map((each) => [
        each.worker,
        each.ranges,
      ]),
    );
    return candidates.flatMap(({ worker }) => {
      const ranges = [...rangesOf(worker), ...(more.get(worker) ?? [])];
      return ranges.length > 0 ? [{ worker, ranges }] : [];
    });
  }

  /**
   * Assigns ranges in the middle of a step: open ranges, or those of a straggler to other workers as well.
   * @param assignedTo returns the number of slices already assigned to a worker
   */
  assign(
    ranges: readonly SliceRange[],
    workers: readonly WorkerView[],
    assignedTo: (worker: number) => number,
  ): Assignment[] {
    return assignRanges(ranges, this.#candidates(workers), assignedTo);
  }

  /**
   * Returns a probe for each idle worker that is due for one: a slice whose shard it holds. Probes are not part of the
   * step: if a probe's answer counted, the answer for a larger range that contains the slice could not count.
   */
  probes(idle: readonly WorkerView[], step: number): Assignment[] {
    return idle.flatMap((worker) => {
      const isDue =
        worker.load.speed.imageMs === undefined || step - this.#lastProbeOf(worker, step) >= stepsBetweenProbes;
      const slice = this.#shards.findIndex((sha256) => worker.heldShards.has(sha256));
      if (!isDue || slice < 0) return [];
      this.#lastProbe.set(worker, step);
      return [{ worker: worker.id, ranges: [{ first: slice, count: 1 }] }];
    });
  }

  /**
   * Returns the step of the worker's last probe or, if there has been none, the step in which the worker was first seen
   * idle.
   */
  #lastProbeOf(worker: WorkerView, step: number): number {
    const last = this.#lastProbe.get(worker) ?? step;
    this.#lastProbe.set(worker, last);
    return last;
  }

  /**
   * Converts workers to candidates. A worker with too few measurements is assumed to have the median speed, and a relay
   * the median speed times the number of its workers.
   */
  #candidates(workers: readonly WorkerView[]): Candidate[] {
    const measured = workers.map(({ load }) => load.speed.imageMs);
    const known = measured.flatMap((imageMs, index) =>
      imageMs === undefined ? [] : [imageMs * workers[index].load.speed.parallelism],
    );
    const typicalImageMs = known.length > 0 ? medianOf(known) : 1;
    return workers.map((worker, index) => ({
      worker: worker.id,
      sliceMs: (measured[index] ?? typicalImageMs / worker.load.speed.parallelism) * this.#imagesPerSlice,
      overheadMs: worker.load.speed.overheadMs,
      holds: (slice) => worker.heldShards.has(this.#shards[slice]),
    }));
  }
}

/** Returns the workers that are not busy with an earlier step, or all workers if every one is busy. */
export function availableWorkers<Worker extends WorkerView>(
  workers: readonly Worker[],
  step: number,
): readonly Worker[] {
  const free = workers.filter(({ load }) => !load.isBusyBefore(step));
  return free.length > 0 ? free : workers;
}

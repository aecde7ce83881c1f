// Places shards on workers before they are needed: first on workers that take over a slice, then extra copies, so that
// reassigning a slice needs no transfer. Allows one transfer at a time in the whole run, so that weights and gradients
// are hardly delayed. Pure.

/** The replicator's view of a worker. */
export interface Holder {
  readonly id: number;
  holds(sha256: string): boolean;
  /** Asks the worker to fetch a shard as soon as the worker is idle. */
  prefetch(sha256: string): void;
}

/**
 * Returns the next shard to place and the worker to place it on, or undefined when every shard is in place.
 * @param shards hash of each slice's shard
 * @param owners id of the worker that computes each slice; may be empty
 * @param replicas number of workers that should hold each shard
 */
export function nextPlacement<Worker extends Pick<Holder, 'id' | 'holds'>>(
  shards: readonly string[],
  owners: readonly number[],
  workers: readonly Worker[],
  replicas: number,
): { worker: Worker; sha256: string } | undefined {
  const holdersOf = (sha256: string) => workers.filter((worker) => worker.holds(sha256)).length;
  // Here and below, skip shards that no worker holds: the slice's owner will request such a shard itself.
  const moving = shards.findIndex((sha256, slice) => {
    const owner = workers.find(({ id }) => id === owners[slice]);
    return owner !== undefined && !owner.holds(sha256) && holdersOf(sha256) > 0;
  });
  if (moving >= 0) {
    return { worker: workers.find(({ id }) => id === owners[moving])!, sha256: shards[moving] };
  }
  const wanted = Math.min(replicas, workers.length);
  const missing = shards.filter((sha256) => holdersOf(sha256) > 0 && holdersOf(sha256) < wanted);
  const [first, ...others] = missing;
  if (first === undefined) return undefined;
  const rarest = others.reduce((a, b) => (holdersOf(b) < holdersOf(a) ? b : a), first);
  const heldBy = (worker: Worker) => shards.filter((sha256) => worker.holds(sha256)).length;
  const worker = workers
    .filter((candidate) => !candidate.holds(rarest))
    .reduce((a, b) => (heldBy(b) < heldBy(a) ? b : a));
  return { worker, sha256: rarest };
}

export class Replicator {
  readonly #shards: readonly string[];
  readonly #replicas: number;
  #owners: readonly number[] = [];
  #running: { worker: Holder; sha256: string } | undefined;

  constructor(shards: readonly string[], replicas: number) {
    this.#shards = shards;
    this.#replicas = replicas;
  }

  /**
   * Sets the owner of each slice, and starts the next transfer if the owners have changed. Call it after each step.
   * Nothing is placed before the first call, because workers request the shards for the first step themselves.
   */
  setOwners(owners: readonly number[], workers: readonly Holder[]): void {
    if (owners === this.#owners) return;
    this.#owners = owners;
    this.update(workers);
  }

  /**
   * Starts the next transfer unless one is in progress. Must be called whenever a worker has joined, left, or received
   * a shard.
   */
  update(workers: readonly Holder[]): void {
    if (this.#owners.length === 0) return;
    const running = this.#running;
    if (running !== undefined && workers.includes(running.worker) && !running.worker.holds(running.sha256)) return;
    this.#running = nextPlacement(this.#shards, this.#owners, workers, this.#replicas);
    this.#running?.worker.prefetch(this.#running.sha256);
  }
}

// Places shards on workers before they are needed: first on workers that take over a slice, then extra copies, so that
// reassigning a slice needs no transfer. Allows one transfer at a time in the whole run, so that weights and gradients
// are hardly delayed. Pure.

/** The replicator's view of a worker. */
export interface Holder {
  readonly id: number;
  /** Hashes of the shards that the worker has, or will fetch; those of evaluation shards too. */
  readonly heldShards: ReadonlySet<string>;
  /** Asks the worker to fetch a shard as soon as the worker is idle. */
  prefetch(sha256: string): void;
}

/**
 * Returns the next shard to place and the worker to place it on, or undefined when every shard is in place.
 * @param shards hash of each slice's shard
 * @param owners id of the worker that computes each slice; may be empty
 * @param replicas number of workers that should hold each shard
 */
export function nextPlacement<Worker extends Pick<Holder, 'id' | 'heldShards'>>(
  shards: readonly string[],
  owners: readonly number[],
  workers: readonly Worker[],
  replicas: number,
): { worker: Worker; sha256: string } | undefined {
  const { copies, heldBy } = countCopies(shards, workers);
  const byId = new Map(workers.map((worker) => [worker.id, worker]));
  // Here and below, skip shards that no worker holds: the slice's owner will request such a shard itself.
  for (const [slice, sha256] of shards.entries()) {
    const owner = byId.get(owners[slice]);
    if (owner !== undefined && !owner.heldShards.has(sha256) && copies.get(sha256)! > 0)
      return { worker: owner, sha256 };
  }
  const wanted = Math.min(replicas, workers.length);
  const missing = shards.filter((sha256) => copies.get(sha256)! > 0 && copies.get(sha256)! < wanted);
  const [first, ...others] = missing;
  if (first === undefined) return undefined;
  const rarest = others.reduce((a, b) => (copies.get(b)! < copies.get(a)! ? b : a), first);
  const worker = workers
    .filter((candidate) => !candidate.heldShards.has(rarest))
    .reduce((a, b) => (heldBy.get(b)! < heldBy.get(a)! ? b : a));
  return { worker, sha256: rarest };
}

/** Returns the number of workers that hold each of these shards, and the number of them that each worker holds. */
function countCopies<Worker extends Pick<Holder, 'heldShards'>>(shards: readonly string[], workers: readonly Worker[]) {
  const copies = new Map(shards.map((sha256) => [sha256, 0]));
  const heldBy = new Map<Worker, number>();
  for (const worker of workers) {
    let held = 0;
    for (const sha256 of worker.heldShards) {
      const count = copies.get(sha256);
      if (count === undefined) continue;
      copies.set(sha256, count + 1);
      held++;
    }
    heldBy.set(worker, held);
  }
  return { copies, heldBy };
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
    if (running !== undefined && workers.includes(running.worker) && !running.worker.heldShards.has(running.sha256))
      return;
    this.#running = nextPlacement(this.#shards, this.#owners, workers, this.#replicas);
    this.#running?.worker.prefetch(this.#running.sha256);
  }
}

// Places shards beforehand, one transfer at a time in the whole run, so that weights and gradients hardly wait for it: on
// workers that are to compute a slice from now on, then second copies on others, so that a takeover needs no transfer.
import type { WorkerConnection } from '../connections/worker-connection.js';
import type { WorkerPool } from '../connections/worker-pool.js';

/** What a placement is chosen by. */
export interface Holder {
  id: number;
  holds: (sha256: string) => boolean;
}

/**
 * The next shard to be placed and the worker to place it on, or undefined when every shard is where it is to be.
 * @param shards the hash of each slice's shard
 * @param owners who computes each slice; empty while that is open
 * @param replicas workers that are to hold a shard
 */
export function nextPlacement<Worker extends Holder>(
  shards: readonly string[],
  owners: readonly number[],
  workers: readonly Worker[],
  replicas: number,
): { worker: Worker; sha256: string } | undefined {
  const holdersOf = (sha256: string) => workers.filter((worker) => worker.holds(sha256)).length;
  // What nobody has, its owner is about to ask for by itself, here and below.
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
  readonly #pool: WorkerPool;
  /** Who computes each slice, as it was told last. */
  #owners: readonly number[] = [];
  #running: { worker: WorkerConnection; sha256: string } | undefined;

  constructor(pool: WorkerPool, shards: readonly string[], replicas: number) {
    this.#pool = pool;
    this.#shards = shards;
    this.#replicas = replicas;
  }

  /** Goes on as workers come, go and have what they were sent, until the returned function is called. */
  follow(): () => void {
    const goOn = () => this.#goOn();
    return this.#pool.listen({ joined: goOn, left: goOn, shardHeld: goOn });
  }

  /** The first step is done, or slices have moved. Nothing is placed before that: shards then come by need. */
  ownersAre(owners: readonly number[]): void {
    if (owners === this.#owners) return;
    this.#owners = owners;
    this.#goOn();
  }

  #goOn(): void {
    if (this.#owners.length === 0) return;
    const { workers } = this.#pool;
    const running = this.#running;
    if (running !== undefined && workers.includes(running.worker) && !running.worker.holds(running.sha256)) return;
    this.#running = nextPlacement(this.#shards, this.#owners, workers, this.#replicas);
    this.#running?.worker.prefetch(this.#running.sha256);
  }
}

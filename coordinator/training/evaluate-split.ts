// Validation and test: a split's parts dealt out to whoever is free; results added up in part order.
import type { Clock } from '../../shared/clock.js';
import { recordBytes } from '../../shared/dataset/image-batch.js';
import { ProtocolError } from '../../shared/errors.js';
import { classCount } from '../../shared/network/layout.js';
import { noClass, type EvaluationMessage, type Shard, type Split } from '../../shared/protocol/messages.js';
import { available } from '../scheduling/slice-scheduler.js';
import type { BatchSums, EvaluatedShard } from '../run/metrics.js';
import { StragglerWatch, type SliceTimes } from '../scheduling/straggler-watch.js';
import type { WeightsFrame } from '../connections/weights-frame.js';
import type { WorkerConnection } from '../connections/worker-connection.js';
import type { WorkerPool } from '../connections/worker-pool.js';

/** Parts that a worker has at a time: one to compute and one to go on with. */
const shardsInFlight = 2;

/** All parts of a split, in their order. A part of a worker that leaves, or is late, goes to others. */
export async function evaluateSplit(options: {
  pool: WorkerPool;
  split: Split;
  shards: readonly Shard[];
  weights: WeightsFrame;
  /** How long parts have taken until now. */
  partTimes: SliceTimes;
  /** A part later than this many times the median is given to an idle worker too; 0 for never. */
  stragglerFactor: number;
  clock: Clock;
  signal: AbortSignal;
  /** Called with each part's answer that counts. */
  onPart?: (part: BatchSums) => void;
}): Promise<EvaluatedShard[]> {
  const { pool, split, weights, clock } = options;
  const parts = options.shards.filter((shard) => shard.split === split);
  const watch = new StragglerWatch(options.partTimes, options.stragglerFactor);
  const owed = new Map<number, Set<number>>();
  const results: (EvaluatedShard | undefined)[] = parts.map(() => undefined);
  let stopTimer: () => void = () => undefined;

  const owedBy = ({ id }: WorkerConnection) => owed.get(id) ?? new Set();
  const isOwed = (index: number) => [...owed.values()].some((indices) => indices.has(index));
  const workers = () => available(pool.workers, weights.step);

  /** A part that this worker holds, else one that nobody holds, else any: parts seldom travel twice. */
  function choosePartFor(worker: WorkerConnection): Shard | undefined {
    const open = parts.filter(({ index }) => results[index] === undefined && !isOwed(index));
    return (
      open.find((part) => worker.holds(part.sha256)) ??
      open.find((part) => !pool.workers.some((other) => other.holds(part.sha256))) ??
      open[0]
    );
  }
  function give(worker: WorkerConnection, part: Shard): void {
    const owes = owedBy(worker);
    if (owes.size === 0) watch.begins(worker.id, 1, clock.now());
    owed.set(worker.id, owes.add(part.index));
    worker.evaluate(weights, part);
  }
  function feed(worker: WorkerConnection): void {
    if (owedBy(worker).size >= shardsInFlight) return;
    const part = choosePartFor(worker);
    if (part !== undefined) give(worker, part);
  }
  /** One part each in turn, so that few parts still reach every worker. */
  function feedAll(): void {
    for (let turn = 0; turn < shardsInFlight; turn++) for (const worker of workers()) feed(worker);
    helpStragglers();
  }
  /** Late workers' parts go to those that have nothing to do; then waits for the next one to be late. */
  function helpStragglers(): void {
    stopTimer();
    const now = clock.now();
    for (const late of watch.late(now)) {
      for (const index of owed.get(late) ?? []) {
        const idle = workers().find((worker) => owedBy(worker).size === 0);
        const isShared = [...owed].some(([other, indices]) => other !== late && indices.has(index));
        if (idle !== undefined && !isShared && results[index] === undefined) give(idle, parts[index]);
      }
    }
    const nextMs = watch.nextLateMs(now);
    if (nextMs < Infinity) stopTimer = clock.after(nextMs - now, helpStragglers);
  }

  try {
    return await pool.settle<EvaluatedShard[]>(options.signal, ({ resolve }) => {
      feedAll();
      return {
        joined: feedAll,
        left(worker) {
          watch.forget(worker.id);
          owed.delete(worker.id);
          feedAll();
        },
        evaluation(worker, message, payload) {
          if (message.step !== weights.step || message.split !== split) return;
          if (owed.get(worker.id)?.delete(message.index) !== true) return;
          const part = partOf(message, payload, parts[message.index].bytes / recordBytes);
          watch.ends(worker.id, clock.now());
          if (owedBy(worker).size > 0) watch.begins(worker.id, 1, clock.now());
          // The first answer counts.
          if (results[message.index] === undefined) {
            results[message.index] = part;
            options.onPart?.(part);
          }
          const done = results.filter((result) => result !== undefined);
          if (done.length === parts.length) resolve(done);
          else feedAll();
        },
      };
    });
  } finally {
    stopTimer();
  }
}

/** Throws ProtocolError for other counts than of the part's images, or for a class that is none. */
function partOf(
  { sampleCount, lossSum, correctCount }: EvaluationMessage,
  payload: Uint8Array,
  images: number,
): EvaluatedShard {
  if (sampleCount !== images || correctCount > images) {
    throw new ProtocolError(
      `a part of ${images} images was evaluated, a worker says that ${correctCount} of ${sampleCount} were right`,
    );
  }
  if (payload.length !== sampleCount || payload.some((label) => label >= classCount && label !== noClass)) {
    throw new ProtocolError(`an evaluation of ${sampleCount} images came with ${payload.length} bytes of classes`);
  }
  // A copy: the message's memory goes on to other things.
  return { sampleCount, lossSum, correctCount, predicted: Uint8Array.from(payload) };
}

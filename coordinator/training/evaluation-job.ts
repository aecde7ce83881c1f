// Evaluates the shards of a split, for validation and testing in a run and for the `evaluate` command.
import { recordFormatOf, type RecordFormat } from '../../shared/dataset/record-format.js';
import { ProtocolError } from '../../shared/errors.js';
import type { EvaluationMessage, Shard } from '../../shared/protocol/messages.js';
import { decodePredictions } from '../../shared/protocol/predictions.js';
import { slicesIn, type SliceRange } from '../../shared/reduction/slices.js';
import type { StepWeights } from '../connections/step-weights.js';
import type { AnswerMessage } from '../connections/connection-handlers.js';
import type { WorkerConnection } from '../connections/worker-connection.js';
import type { EvaluationSplit, ShardStore } from '../dataset/shard-store.js';
import type { EvaluatedShard } from '../run/metrics.js';
import type { Assignment } from '../scheduling/assignment.js';
import { availableWorkers } from '../scheduling/slice-scheduler.js';
import type { ItemDurations } from '../scheduling/straggler-watch.js';
import type { Job } from './dispatcher.js';
import type { WorkTracker } from './work-tracker.js';

/**
 * Number of shards assigned to a worker at a time: one to evaluate now and one to continue with. A relay is assigned as
 * many for each of its workers.
 */
const shardsInFlight = 2;

type IndexedShard = EvaluatedShard & { index: number };

export class EvaluationJob implements Job<IndexedShard, readonly EvaluatedShard[]> {
  readonly step: number;
  readonly itemCount: number;
  readonly durations: ItemDurations;
  readonly #split: EvaluationSplit;
  readonly #shards: readonly Shard[];
  readonly #format: RecordFormat;
  readonly #weights: StepWeights;
  readonly #onShard: (shard: EvaluatedShard) => void;
  readonly #results: EvaluatedShard[];

  /**
   * @param store shards of the run; only those of this split are evaluated
   * @param onShard receives each shard's result
   */
  constructor(
    split: EvaluationSplit,
    { shards, dataset }: Pick<ShardStore, 'shards' | 'dataset'>,
    weights: StepWeights,
    durations: ItemDurations,
    onShard: (shard: EvaluatedShard) => void = () => undefined,
  ) {
    this.#split = split;
    this.#shards = shards.filter((shard) => shard.split === split);
    this.#format = recordFormatOf(dataset);
    this.#weights = weights;
    this.#onShard = onShard;
    this.#results = this.#shards.map(() => ({
      sampleCount: 0,
      lossSum: 0,
      correctCount: 0,
      topFiveCount: 0,
      predicted: new Uint16Array(),
    }));
    this.step = weights.step;
    this.itemCount = this.#shards.length;
    this.durations = durations;
  }

  start(work: WorkTracker, workers: readonly WorkerConnection[]): Assignment[] {
    return this.assignOpen(work, availableWorkers(workers, this.step));
  }

  /** Assigns each worker one shard before any gets a second, so that all workers get work if shards are few. */
  assignOpen(work: WorkTracker, workers: readonly WorkerConnection[]): Assignment[] {
    const inFlight = (worker: WorkerConnection) => shardsInFlight * worker.parallelism;
    const open = work.open().flatMap(slicesIn);
    const chosen = workers.map((worker) => ({ worker, ranges: [] as SliceRange[] }));
    const turns = Math.max(0, ...workers.map(inFlight));
    const held = new Set(workers.flatMap(({ heldShards }) => [...heldShards]));
    for (let turn = 0; turn < turns && open.length > 0; turn++) {
      for (const { worker, ranges } of chosen) {
        if (open.length === 0 || work.assignedTo(worker.id).length + ranges.length >= inFlight(worker)) continue;
        const [first] = open.splice(this.#choose(open, worker, held), 1);
        ranges.push({ first, count: 1 });
      }
    }
    return chosen.flatMap(({ worker, ranges }) => (ranges.length > 0 ? [{ worker: worker.id, ranges }] : []));
  }

  assignAgain(_work: WorkTracker, ranges: readonly SliceRange[], idle: readonly WorkerConnection[]): Assignment[] {
    return ranges.slice(0, idle.length).map((range, index) => ({ worker: idle[index].id, ranges: [range] }));
  }

  send(worker: WorkerConnection, ranges: SliceRange[]): void {
    for (const { first } of ranges) worker.evaluate(this.#weights, this.#shards[first]);
  }

  rangeOf(message: AnswerMessage): SliceRange | undefined {
    if (message.type !== 'evaluation' || message.step !== this.step || message.split !== this.#split) return undefined;
    return { first: message.index, count: 1 };
  }

  parse(message: AnswerMessage, payload: Uint8Array): IndexedShard {
    const { index, sampleCount, lossSum, correctCount, topFiveCount } = message as EvaluationMessage;
    const images = this.#shards[index].bytes / this.#format.recordBytes;
    if (sampleCount !== images || correctCount > images || topFiveCount > images) {
      throw new ProtocolError(
        `a worker reports ${Math.max(correctCount, topFiveCount)} of ${sampleCount} images correct in a shard of ${images} images`,
      );
    }
    const predicted = decodePredictions(payload, images, this.#format.classCount);
    return { index, sampleCount, lossSum, correctCount, topFiveCount, predicted };
  }

  accept(_worker: WorkerConnection, { index, ...result }: IndexedShard): readonly never[] {
    this.#results[index] = result;
    this.#onShard(result);
    return [];
  }

  result(): readonly EvaluatedShard[] {
    return this.#results;
  }

  /**
   * Chooses an open shard that the worker holds, otherwise one that no worker holds, otherwise the first, so that
   * shards are rarely transferred twice.
   * @param heldByAny hashes of the shards that any worker holds
   * @returns the position of the shard in `open`
   */
  #choose(open: readonly number[], { heldShards }: WorkerConnection, heldByAny: ReadonlySet<string>): number {
    const held = open.findIndex((index) => heldShards.has(this.#shards[index].sha256));
    if (held >= 0) return held;
    const sentToNobody = open.findIndex((index) => !heldByAny.has(this.#shards[index].sha256));
    return Math.max(0, sentToNobody);
  }
}

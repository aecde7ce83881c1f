// The jobs of a relay: the partial sums over the ranges that the coordinator requests, and evaluations of the shards that
// it requests. Both go on until the coordinator requests something else, and hand over each answer as soon as it is there.
import type { StepWeights } from '../coordinator/connections/step-weights.js';
import type { AnswerMessage } from '../coordinator/connections/connection-handlers.js';
import type { WorkerConnection } from '../coordinator/connections/worker-connection.js';
import type { EvaluationSplit } from '../coordinator/dataset/shard-store.js';
import type { NewRunEvent } from '../coordinator/run/run-events.js';
import type { WorkerPhases } from '../coordinator/run/step-phases.js';
import type { ItemDurations } from '../coordinator/scheduling/straggler-watch.js';
import { EvaluationJob } from '../coordinator/training/evaluation-job.js';
import { SliceJob, type GradientAnswer } from '../coordinator/training/gradient-job.js';
import { GradientSum, type PartialSum } from '../coordinator/training/gradient-sum.js';
import { addPhases, StepContributions } from '../coordinator/training/step-contributions.js';
import type { Clock } from '../shared/clock.js';
import type { EvaluationMessage, GradientMessage, Welcome } from '../shared/protocol/messages.js';
import type { SliceRange } from '../shared/reduction/slices.js';
import type { RelayedRun } from './relayed-run.js';

/** A requested range, and what has been added up so far. */
interface Target {
  range: SliceRange;
  sum: GradientSum;
  contributions: StepContributions;
}

/** The sum over a requested range. */
export type RequestedSum = PartialSum & Required<Pick<GradientMessage, 'phases' | 'contributions'>>;

export interface PartialSumsHandlers {
  /** Receives the sum over each requested range. Its memory may be overwritten later. */
  onSum: (sum: RequestedSum) => void;
  /** Called with each worker's answer before it is added to a sum. */
  onAnswer: (worker: WorkerConnection, range: SliceRange) => void;
  /** Receives the events of the job. */
  publish: (event: NewRunEvent) => void;
}

const noPhases: WorkerPhases = { waitMs: 0, augmentMs: 0, computeMs: 0, reduceMs: 0, sendMs: 0 };

export class PartialSumsJob extends SliceJob<never> {
  readonly isOpenEnded = true;
  readonly wanted: readonly SliceRange[];
  readonly publish: (event: NewRunEvent) => void;
  #targets: Target[] = [];
  readonly #handlers: PartialSumsHandlers;
  readonly #clock: Clock;

  /** @param wanted ranges to compute at first */
  constructor(
    weights: StepWeights,
    { layout, scheduler }: Pick<RelayedRun, 'layout' | 'scheduler'>,
    wanted: readonly SliceRange[],
    clock: Clock,
    handlers: PartialSumsHandlers,
  ) {
    super(weights, layout, scheduler);
    this.wanted = wanted;
    this.publish = handlers.publish;
    this.#handlers = handlers;
    this.#clock = clock;
    this.add(wanted);
  }

  add(ranges: readonly SliceRange[]): void {
    const targets = ranges.map((range) => ({
      range,
      sum: new GradientSum(this.itemCount, this.weights.sumEncoding, range),
      contributions: new StepContributions(this.#clock),
    }));
    this.#targets = [...this.#targets, ...targets];
  }

  accept(worker: WorkerConnection, answer: GradientAnswer): readonly PartialSum['gradientSum'][] {
    this.#handlers.onAnswer(worker, answer.range);
    const { first } = answer.range;
    const target = this.#targets.find(({ range }) => first >= range.first && first < range.first + range.count)!;
    const unneeded = target.contributions.timed(() => target.sum.add(answer));
    target.contributions.add(worker, answer);
    const { total } = target.sum;
    if (total === undefined) return unneeded;
    this.#targets = this.#targets.filter((other) => other !== target);
    const { contributions: counted, reduceMs } = target.contributions.summary();
    const contributions = counted.map(({ name, images, phases }) => ({ name, images, phases }));
    const phases = contributions.reduce((sum, each) => addPhases(sum, each.phases), { ...noPhases, reduceMs });
    this.#handlers.onSum({ ...total, phases, contributions });
    return [...unneeded, total.gradientSum];
  }

  result(): never {
    throw new Error('an open-ended job has no result');
  }
}

type RelayedEvaluation = ReturnType<EvaluationJob['parse']> & { message: EvaluationMessage; payload: Uint8Array };

export class RelayedEvaluationJob extends EvaluationJob {
  readonly isOpenEnded = true;
  readonly wanted: readonly SliceRange[];
  readonly #onAnswer: (message: EvaluationMessage, payload: Uint8Array) => void;

  /** @param onAnswer receives each worker's answer as it arrived */
  constructor(
    split: EvaluationSplit,
    run: Pick<Welcome, 'shards' | 'dataset'>,
    weights: StepWeights,
    durations: ItemDurations,
    wanted: readonly SliceRange[],
    onAnswer: (message: EvaluationMessage, payload: Uint8Array) => void,
  ) {
    super(split, run, weights, durations);
    this.wanted = wanted;
    this.#onAnswer = onAnswer;
  }

  override parse(message: AnswerMessage, payload: Uint8Array): RelayedEvaluation {
    return { ...super.parse(message, payload), message: message as EvaluationMessage, payload };
  }

  override accept(_worker: WorkerConnection, { message, payload }: RelayedEvaluation): readonly never[] {
    this.#onAnswer(message, payload);
    return [];
  }
}

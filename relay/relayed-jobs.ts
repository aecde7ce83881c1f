// The jobs of a relay: the partial sums over the ranges that the coordinator requests, and evaluations of the shards that
// it requests. Both go on until the coordinator requests something else, and hand over each answer as soon as it is there.
import type { StepWeights } from '../coordinator/connections/step-weights.js';
import type { AnswerMessage, WorkerConnection } from '../coordinator/connections/worker-connection.js';
import type { EvaluationSplit } from '../coordinator/dataset/shard-store.js';
import type { WorkerPhases } from '../coordinator/run/step-phases.js';
import type { SliceScheduler } from '../coordinator/scheduling/slice-scheduler.js';
import type { ItemDurations } from '../coordinator/scheduling/straggler-watch.js';
import { EvaluationJob } from '../coordinator/training/evaluation-job.js';
import { SliceJob, type GradientAnswer } from '../coordinator/training/gradient-job.js';
import { GradientSum, type PartialSum } from '../coordinator/training/gradient-sum.js';
import { addPhases } from '../coordinator/training/step-contributions.js';
import type { Encoding } from '../shared/encoding/encodings.js';
import type { ModelLayout } from '../shared/network/layout.js';
import type { EvaluationMessage, Welcome } from '../shared/protocol/messages.js';
import type { SliceRange } from '../shared/reduction/slices.js';

/** A requested range, and what has been added up so far. */
interface Target {
  range: SliceRange;
  sum: GradientSum;
  /** Phases of all workers that contributed, added up. */
  phases: WorkerPhases;
}

const noPhases: WorkerPhases = { waitMs: 0, augmentMs: 0, computeMs: 0, reduceMs: 0, sendMs: 0 };

export class PartialSumsJob extends SliceJob<never> {
  readonly isOpenEnded = true;
  readonly wanted: readonly SliceRange[];
  #targets: Target[] = [];
  readonly #onSum: (sum: PartialSum, phases: WorkerPhases) => void;

  /**
   * @param wanted ranges to compute at first
   * @param onSum receives the sum over each range, whose memory may be overwritten later
   */
  constructor(
    weights: StepWeights,
    layout: ModelLayout,
    encoding: Encoding,
    scheduler: SliceScheduler,
    wanted: readonly SliceRange[],
    onSum: (sum: PartialSum, phases: WorkerPhases) => void,
  ) {
    super(weights, layout, encoding, scheduler);
    this.wanted = wanted;
    this.#onSum = onSum;
    this.add(wanted);
  }

  add(ranges: readonly SliceRange[]): void {
    const targets = ranges.map((range) => ({
      range,
      sum: new GradientSum(this.itemCount, this.hasScales, range),
      phases: noPhases,
    }));
    this.#targets = [...this.#targets, ...targets];
  }

  accept(_worker: WorkerConnection, answer: GradientAnswer): readonly PartialSum['gradientSum'][] {
    const { first } = answer.range;
    const target = this.#targets.find(({ range }) => first >= range.first && first < range.first + range.count)!;
    const startedMs = performance.now();
    const unneeded = target.sum.add(answer);
    const reduceMs = performance.now() - startedMs;
    target.phases = addPhases(addPhases(target.phases, answer.phases), { ...noPhases, reduceMs });
    const { total } = target.sum;
    if (total === undefined) return unneeded;
    this.#targets = this.#targets.filter((other) => other !== target);
    this.#onSum(total, target.phases);
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

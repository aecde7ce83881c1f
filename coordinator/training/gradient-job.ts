// Collects the gradient of one step: the sum over all slices, regardless of which workers compute them.
import type { Clock } from '../../shared/clock.js';
import { PartialSumFormat } from '../../shared/encoding/partial-sum.js';
import { decodeSum } from '../../shared/encoding/scaled-values.js';
import { ProtocolError } from '../../shared/errors.js';
import type { ModelLayout } from '../../shared/network/layout.js';
import { floatsOf } from '../../shared/protocol/frame.js';
import type { GradientMessage } from '../../shared/protocol/messages.js';
import { sliceCountOf, type Assignment } from '../scheduling/assignment.js';
import { describeRange, type SliceRange } from '../../shared/reduction/slices.js';
import type { StepWeights } from '../connections/step-weights.js';
import type { AnswerMessage } from '../connections/connection-handlers.js';
import type { WorkerConnection } from '../connections/worker-connection.js';
import type { NewRunEvent } from '../run/run-events.js';
import { availableWorkers, type SliceScheduler } from '../scheduling/slice-scheduler.js';
import type { ItemDurations } from '../scheduling/straggler-watch.js';
import { isFinitePartialSum, notFinitePartialSum } from './assert-finite.js';
import type { Job, Recovery } from './dispatcher.js';
import { GradientSum, type PartialSum } from './gradient-sum.js';
import { StepContributions } from './step-contributions.js';
import type { WorkTracker } from './work-tracker.js';

/** The gradient of a step, decoded. */
export type CollectedGradient = Omit<PartialSum, 'range' | 'gradientSum'> & { gradientSum: Float32Array } & Recovery &
  ReturnType<StepContributions['summary']>;

/** Work on slices with one step's weights, whose answers are partial sums. */
export abstract class SliceJob<Result> implements Job<GradientAnswer, Result> {
  readonly step: number;
  readonly itemCount: number;
  readonly durations: ItemDurations;
  protected readonly scheduler: SliceScheduler;
  protected readonly layout: ModelLayout;
  protected readonly weights: StepWeights;
  readonly #format: PartialSumFormat;

  constructor(weights: StepWeights, layout: ModelLayout, scheduler: SliceScheduler) {
    this.step = weights.step;
    this.itemCount = scheduler.sliceCount;
    this.durations = scheduler.sliceDurations;
    this.scheduler = scheduler;
    this.layout = layout;
    this.weights = weights;
    this.#format = new PartialSumFormat(layout, weights.sumEncoding);
  }

  abstract readonly publish: (event: NewRunEvent) => void;
  abstract accept(worker: WorkerConnection, answer: GradientAnswer): readonly PartialSum['gradientSum'][];
  abstract result(recovery: Recovery): Result;

  start(work: WorkTracker, workers: readonly WorkerConnection[]): Assignment[] {
    return this.#separate(this.scheduler.assignStep(workers, availableWorkers(workers, this.step), work.wanted));
  }

  assignOpen(work: WorkTracker, workers: readonly WorkerConnection[]): Assignment[] {
    return this.assignAgain(work, work.open(), workers);
  }

  assignAgain(work: WorkTracker, ranges: readonly SliceRange[], workers: readonly WorkerConnection[]): Assignment[] {
    return this.#separate(this.scheduler.assign(ranges, workers, (worker) => sliceCountOf(work.assignedTo(worker))));
  }

  #separate(assignments: Assignment[]): Assignment[] {
    return assignments.map(({ worker, ranges }) => ({
      worker,
      ranges: ranges.flatMap((range) => this.#format.partsOf(range)),
    }));
  }

  send(worker: WorkerConnection, ranges: SliceRange[]): void {
    worker.compute(this.weights, ranges);
  }

  rangeOf(message: AnswerMessage): SliceRange | undefined {
    // A late answer to an earlier step, which other workers have finished, may still arrive.
    return message.type === 'gradient' && message.step === this.step ? message.range : undefined;
  }

  /** Parses a partial sum. The returned arrays are views into the message. */
  parse(message: AnswerMessage, payload: Uint8Array): GradientAnswer {
    const { range, sampleCount, slices, clippedCount = 0, phases, contributions } = message as GradientMessage;
    const { weightsSize, statisticsSize } = this.layout;
    const values = floatsOf(payload, this.#format.payloadFloats(range.count));
    const { sum, batchStatistics, maxima } = this.#format.viewsOf(values, range.count);
    if (clippedCount > (sum instanceof Float32Array ? 0 : range.count * weightsSize)) {
      throw new ProtocolError(`a worker reports ${clippedCount} clipped values in ${describeRange(range)}`);
    }
    return {
      range,
      gradientSum: sum,
      maxima,
      clippedCount,
      sampleCount,
      slices: slices.map((report, index) => {
        const first = index * statisticsSize;
        return { ...report, batchStatistics: batchStatistics.subarray(first, first + statisticsSize) };
      }),
      phases,
      contributions,
    };
  }

  probe(idle: readonly WorkerConnection[]): Assignment[] {
    return this.scheduler.probes(idle, this.step);
  }

  cancel(worker: WorkerConnection): void {
    worker.cancel(this.step);
  }

  ended(): void {
    this.publish({ type: 'gradient-collected' });
  }
}

export class GradientJob extends SliceJob<CollectedGradient> {
  readonly publish: (event: NewRunEvent) => void;
  readonly #sum: GradientSum;
  readonly #contributions: StepContributions;

  constructor(
    weights: StepWeights,
    layout: ModelLayout,
    scheduler: SliceScheduler,
    clock: Clock,
    publish: (event: NewRunEvent) => void,
  ) {
    super(weights, layout, scheduler);
    this.publish = publish;
    this.#sum = new GradientSum(scheduler.sliceCount, weights.sumEncoding);
    this.#contributions = new StepContributions(clock);
  }

  /** Adds an answer to the sum. Throws `diverged` if the answer contains a non-finite value. */
  accept(worker: WorkerConnection, answer: GradientAnswer): readonly PartialSum['gradientSum'][] {
    const { unneeded, isFinite } = this.#contributions.timed(() => ({
      unneeded: this.#sum.add(answer),
      isFinite: isFinitePartialSum(answer),
    }));
    if (!isFinite) throw notFinitePartialSum(worker.name, this.step, answer, this.layout);
    this.#contributions.add(worker, answer);
    return unneeded;
  }

  result(recovery: Recovery): CollectedGradient {
    const total = this.#sum.total!;
    const gradientSum = this.#contributions.timed(() => this.#decode(total.gradientSum));
    return { ...total, gradientSum, ...recovery, ...this.#contributions.summary() };
  }

  #decode(sum: Float32Array | Int32Array): Float32Array {
    return sum instanceof Float32Array ? sum : decodeSum(sum, this.weights.gradientScales!, this.layout.weights);
  }
}

export type GradientAnswer = PartialSum & Pick<GradientMessage, 'phases' | 'contributions'>;

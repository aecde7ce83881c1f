// Collects the gradient of one step: the sum over all slices, regardless of which workers compute them.
import type { Clock } from '../../shared/clock.js';
import type { ModelLayout } from '../../shared/network/layout.js';
import { floatsOf } from '../../shared/protocol/frame.js';
import type { GradientMessage } from '../../shared/protocol/messages.js';
import { sliceCountOf, type Assignment } from '../scheduling/assignment.js';
import type { SliceRange } from '../../shared/reduction/slices.js';
import type { WeightsFrame } from '../connections/weights-frame.js';
import type { AnswerMessage, WorkerConnection } from '../connections/worker-connection.js';
import type { NewRunEvent } from '../run/run-events.js';
import { availableWorkers, type SliceScheduler } from '../scheduling/slice-scheduler.js';
import type { ItemDurations } from '../scheduling/straggler-watch.js';
import { isFinitePartialSum, notFinitePartialSum } from './assert-finite.js';
import type { Job, Recovery } from './dispatcher.js';
import { GradientSum, type PartialSum } from './gradient-sum.js';
import { StepContributions } from './step-contributions.js';
import type { WorkTracker } from './work-tracker.js';

export type CollectedGradient = Omit<PartialSum, 'range'> & Recovery & ReturnType<StepContributions['summary']>;

/** Work on slices with one step's weights, whose answers are partial sums. */
export abstract class SliceJob<Result> implements Job<GradientAnswer, Result> {
  readonly step: number;
  readonly itemCount: number;
  readonly durations: ItemDurations;
  protected readonly scheduler: SliceScheduler;
  protected readonly layout: ModelLayout;
  readonly #weights: WeightsFrame;

  constructor(weights: WeightsFrame, layout: ModelLayout, scheduler: SliceScheduler) {
    this.step = weights.step;
    this.itemCount = scheduler.sliceCount;
    this.durations = scheduler.sliceDurations;
    this.scheduler = scheduler;
    this.layout = layout;
    this.#weights = weights;
  }

  abstract accept(worker: WorkerConnection, answer: GradientAnswer): void;
  abstract result(recovery: Recovery): Result;

  start(work: WorkTracker, workers: readonly WorkerConnection[]): Assignment[] {
    return this.scheduler.assignStep(workers, availableWorkers(workers, this.step), work.wanted);
  }

  assignOpen(work: WorkTracker, workers: readonly WorkerConnection[]): Assignment[] {
    return this.assignAgain(work, work.open(), workers);
  }

  assignAgain(work: WorkTracker, ranges: readonly SliceRange[], workers: readonly WorkerConnection[]): Assignment[] {
    return this.scheduler.assign(ranges, workers, (worker) => sliceCountOf(work.assignedTo(worker)));
  }

  send(worker: WorkerConnection, ranges: SliceRange[]): void {
    worker.compute(this.#weights, ranges);
  }

  rangeOf(message: AnswerMessage): SliceRange | undefined {
    // A late answer to an earlier step, which other workers have finished, may still arrive.
    return message.type === 'gradient' && message.step === this.step ? message.range : undefined;
  }

  /**
   * Parses a partial sum. The payload contains the gradient sum, followed by the batch statistics of each slice. The
   * returned arrays are views into the message.
   */
  parse(message: AnswerMessage, payload: Uint8Array): GradientAnswer {
    const { range, sampleCount, slices, phases } = message as GradientMessage;
    const { weightsSize, statisticsSize } = this.layout;
    const values = floatsOf(payload, weightsSize + range.count * statisticsSize);
    return {
      range,
      gradientSum: values.subarray(0, weightsSize),
      sampleCount,
      slices: slices.map((report, index) => {
        const first = weightsSize + index * statisticsSize;
        return { ...report, batchStatistics: values.subarray(first, first + statisticsSize) };
      }),
      phases,
    };
  }
}

export class GradientJob extends SliceJob<CollectedGradient> {
  readonly publish: (event: NewRunEvent) => void;
  readonly #sum: GradientSum;
  readonly #contributions: StepContributions;

  constructor(
    weights: WeightsFrame,
    layout: ModelLayout,
    scheduler: SliceScheduler,
    clock: Clock,
    publish: (event: NewRunEvent) => void,
  ) {
    super(weights, layout, scheduler);
    this.publish = publish;
    this.#sum = new GradientSum(scheduler.sliceCount);
    this.#contributions = new StepContributions(clock);
  }

  probe(idle: readonly WorkerConnection[]): Assignment[] {
    return this.scheduler.probes(idle, this.step);
  }

  /** Adds an answer to the sum. Throws `diverged` if the answer contains a non-finite value. */
  accept(worker: WorkerConnection, answer: GradientAnswer): void {
    const isFinite = this.#contributions.timed(() => {
      this.#sum.add(answer);
      return isFinitePartialSum(answer);
    });
    if (!isFinite) throw notFinitePartialSum(worker.name, this.step, answer, this.layout);
    this.#contributions.add(worker, answer);
  }

  result(recovery: Recovery): CollectedGradient {
    return { ...this.#sum.total!, ...recovery, ...this.#contributions.summary() };
  }

  ended(): void {
    this.publish({ type: 'gradient-collected' });
  }
}

export type GradientAnswer = PartialSum & Pick<GradientMessage, 'phases'>;

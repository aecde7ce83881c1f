// What a relay does on one connection to the coordinator: passes weights and requests on to its workers, and their answers
// back, as one partial sum for each requested range.
import type { StepWeights } from '../coordinator/connections/step-weights.js';
import { measureEngines } from '../coordinator/engine/measure-engines.js';
import type { RunEventBus } from '../coordinator/run/run-event-bus.js';
import { Dispatcher } from '../coordinator/training/dispatcher.js';
import type { Clock } from '../shared/clock.js';
import { recordFormatOf } from '../shared/dataset/record-format.js';
import { ProtocolError } from '../shared/errors.js';
import { PartialSumFormat } from '../shared/encoding/partial-sum.js';
import { encodeFrame } from '../shared/protocol/frame.js';
import {
  maxCoordinatorMessageBytes,
  type ComputeMessage,
  type EvaluateMessage,
  type PublishedWeightsMessage,
  type WeightsDifferenceMessage,
  type WorkerMessage,
} from '../shared/protocol/messages.js';
import { describeRange, isAlignedRange, type SliceRange } from '../shared/reduction/slices.js';
import type { CoordinatorLink } from '../worker/connection/coordinator-link.js';
import { OutgoingFrames } from '../worker/connection/outgoing-frames.js';
import type { SessionHandlers, SessionWork, WorkControls } from '../worker/session.js';
import type { RunShards } from '../worker/shards/run-shards.js';
import { ShardClient } from '../worker/shards/shard-client.js';
import { RelayReporter } from './relay-reporter.js';
import { PartialSumsJob, RelayedEvaluationJob, type RequestedSum } from './relayed-jobs.js';
import type { RelayedRun } from './relayed-run.js';
import { RelayedWeights } from './relayed-weights.js';
import { RequestedRanges } from './requested-ranges.js';

/** What is being computed now. */
interface Current {
  step: number;
  /** Distinguishes the gradients and the evaluation of each split. */
  key: string;
  requested: RequestedRanges;
  job: PartialSumsJob | RelayedEvaluationJob;
}

/** Creates the job for the first ranges. @param onAnswer must be called with each range that has been answered */
type CreateJob = (wanted: readonly SliceRange[], onAnswer: (range: SliceRange) => void) => Current['job'];

export class RelayWork implements SessionWork {
  readonly shards: ShardClient;
  readonly maxMessageBytes: number;
  readonly #run: RelayedRun;
  readonly #link: CoordinatorLink;
  readonly #handlers: Pick<SessionHandlers, 'onProgress'>;
  readonly #controls: WorkControls;
  readonly #clock: Clock;
  readonly #dispatcher: Dispatcher;
  readonly #frames = new OutgoingFrames();
  readonly #abandoned = new AbortController();
  readonly #reporter: RelayReporter;
  readonly #weights: RelayedWeights;
  #current: Current | undefined;

  constructor(
    run: RelayedRun,
    held: RunShards,
    link: CoordinatorLink,
    events: RunEventBus,
    clock: Clock,
    handlers: Pick<SessionHandlers, 'onProgress'>,
    controls: WorkControls,
  ) {
    const { welcome, layout, rules, session } = run;
    this.#run = run;
    this.#link = link;
    this.#handlers = handlers;
    this.#controls = controls;
    this.#clock = clock;
    const { encoding } = welcome.config;
    this.maxMessageBytes = maxCoordinatorMessageBytes(layout, encoding);
    this.#weights = new RelayedWeights(layout, encoding, (memory) => link.reuse(memory));
    this.shards = new ShardClient(welcome.shards, recordFormatOf(welcome.dataset), held, (message) =>
      this.#send(message),
    );
    run.shards.connected(this.shards, controls.fail);
    this.#dispatcher = new Dispatcher(session.pool, clock, rules.stragglerFactor, this.#abandoned.signal);
    // Answers to requests over an earlier connection could not be told from answers to new ones.
    for (const worker of session.pool.workers) {
      if (worker.load.isBusy) worker.terminate('the relay has lost its connection to the coordinator meanwhile');
    }
    this.#reporter = new RelayReporter(run, events, clock, (message) => this.#send(message), controls);
  }

  probe(fingerprint: string): void {
    throw new ProtocolError(
      `the coordinator asked a relay to probe ${JSON.stringify(fingerprint)}, but it has no engine`,
    );
  }

  measure(): void {
    this.#sendSpeeds().catch((error: unknown) => {
      if (!this.#abandoned.signal.aborted) this.#controls.fail(error);
    });
  }

  useEngine(fingerprint: string): void {
    this.#run.chooseEngine(fingerprint);
  }

  /** Receives the coordinator's own weights. Passes them on now if gradients are computed with them. */
  receiveWeights(step: number, payload: Uint8Array, frame: Uint8Array): void {
    this.#weights.receiveOwn(step, payload, frame);
    this.#weightsReceived(step);
  }

  receivePublished(message: PublishedWeightsMessage, payload: Uint8Array, frame: Uint8Array): void {
    this.#weights.receivePublished(message, payload, frame);
    this.#weightsReceived(message.step);
  }

  receiveDifference(message: WeightsDifferenceMessage, payload: Uint8Array, frame: Uint8Array): void {
    this.#weights.receiveDifference(message, payload, frame);
    this.#weightsReceived(message.step);
  }

  /** Abandons the work of earlier steps, which are complete, and passes weights on to the workers that will need them. */
  #weightsReceived(step: number): void {
    if (this.#current !== undefined && this.#current.step !== step) this.#abandonJob();
    const weights = this.#weights.forTraining;
    if (weights?.step !== step) return;
    this.#cancelBefore(step);
    const { scheduler, session } = this.#run;
    const owners = new Set(scheduler.owners);
    for (const worker of session.pool.workers) {
      if (owners.has(worker.id)) worker.sendAhead(weights);
    }
  }

  compute(request: ComputeMessage): void {
    const weights = this.#assertWeights(request, this.#weights.forTraining);
    const { layout, welcome, stepEvents } = this.#run;
    const { slices } = welcome.config;
    const wrong = request.ranges.find((range) => !isAlignedRange(range, slices));
    if (wrong !== undefined) {
      throw new ProtocolError(
        `invalid slice range (${describeRange(wrong)}): not an aligned range in a run of ${slices} slices`,
      );
    }
    this.#reporter.setTimed(request.timed === true);
    const { step } = request;
    const format = new PartialSumFormat(layout, weights.sumEncoding);
    this.#request(step, 'gradient', request.ranges, (wanted, onAnswer) => {
      return new PartialSumsJob(weights, this.#run, wanted, this.#clock, {
        onSum: (sum) => {
          this.#sendPartialSum(step, sum, format);
          onAnswer(sum.range);
        },
        onAnswer: (worker, range) => this.#reporter.answered(worker, step, range),
        publish: (event) => stepEvents.publish({ ...event, step }),
      });
    });
  }

  cancel(step: number): void {
    if (this.#current?.step === step) this.#abandonJob();
    this.#cancelBefore(step + 1);
    this.#send({ type: 'cancelled', step });
  }

  /** Cancels what workers are still computing for earlier steps. */
  #cancelBefore(step: number): void {
    for (const worker of this.#run.session.pool.workers) {
      if (worker.load.isBusyBefore(step)) worker.cancel(worker.load.weightsStep);
    }
  }

  evaluate(request: EvaluateMessage): void {
    const weights = this.#assertWeights(request, this.#weights.forEvaluation);
    const { welcome, evaluationDurations } = this.#run;
    const { split, index } = request;
    if (split === 'training' || !welcome.shards.some((shard) => shard.split === split && shard.index === index)) {
      throw new ProtocolError(`${split} shard ${index} is not an evaluation shard of the run`);
    }
    this.#request(request.step, `evaluation of ${split}`, [{ first: index, count: 1 }], (wanted, onAnswer) => {
      return new RelayedEvaluationJob(split, welcome, weights, evaluationDurations, wanted, (message, payload) => {
        this.#link.send(encodeFrame(message, payload));
        onAnswer({ first: message.index, count: 1 });
      });
    });
  }

  async abandon(): Promise<void> {
    this.#abandoned.abort();
    this.#reporter.stop();
    this.#abandonJob();
    this.#run.shards.disconnected();
    await this.shards.abandon();
  }

  /** Has the workers measure their engines, and sends the speeds, added up over the workers. */
  async #sendSpeeds(): Promise<void> {
    const { pool, engine } = this.#run.session;
    const total = new Map<string, number>();
    const { signal } = this.#abandoned;
    for (const { speeds } of await measureEngines(pool, (offer) => engine.allows(offer), this.#clock, signal)) {
      for (const [fingerprint, speed] of speeds) total.set(fingerprint, (total.get(fingerprint) ?? 0) + speed);
    }
    const speeds = [...total].map(([fingerprint, imagesPerSecond]) => ({ fingerprint, imagesPerSecond }));
    this.#send({ type: 'measurement', speeds });
  }

  #assertWeights({ type, step }: ComputeMessage | EvaluateMessage, held: StepWeights | undefined): StepWeights {
    if (held?.step === step) return held;
    const actual = held === undefined ? 'no weights' : `the weights for step ${held.step}`;
    throw new ProtocolError(`${type} for step ${step} arrived, but this relay has ${actual}`);
  }

  /** Adds ranges to the current job, or replaces it if it is another one. */
  #request(step: number, key: string, ranges: readonly SliceRange[], create: CreateJob): void {
    if (this.#current?.key === key && this.#current.step === step) {
      this.#extend(this.#current, this.#current.requested.add(ranges));
      return;
    }
    this.#abandonJob();
    const requested = new RequestedRanges();
    // An answer arrives in the middle of the dispatcher's work, and ranges can be added only after that.
    const onAnswer = (range: SliceRange) =>
      queueMicrotask(() => {
        if (this.#current === current) this.#extend(current, requested.answered(range));
      });
    const current = { step, key, requested, job: create(requested.add(ranges), onAnswer) };
    this.#current = current;
    this.#dispatcher.run<unknown, unknown>(current.job).catch((error: unknown) => {
      if (this.#current === current) this.#controls.fail(error);
    });
    const { scheduler, replicator, session } = this.#run;
    replicator.setOwners(scheduler.owners, session.pool.workers);
  }

  #extend({ job }: Current, ranges: readonly SliceRange[]): void {
    if (ranges.length === 0) return;
    if (job instanceof PartialSumsJob) job.add(ranges);
    this.#dispatcher.extend(ranges);
  }

  #abandonJob(): void {
    this.#current = undefined;
    this.#dispatcher.abandon(new ProtocolError('the coordinator no longer needs the answers'));
  }

  #sendPartialSum(step: number, sum: RequestedSum, format: PartialSumFormat): void {
    const { range, gradientSum, maxima, clippedCount, sampleCount, slices, phases, contributions } = sum;
    const { statisticsSize } = this.#run.layout;
    const frame = this.#frames.take(format.payloadFloats(range.count), range.count);
    const payload = format.viewsOf(frame.payload, range.count);
    payload.sum.set(gradientSum);
    payload.maxima.set(maxima);
    for (const [index, { batchStatistics }] of slices.entries()) {
      payload.batchStatistics.set(batchStatistics, index * statisticsSize);
    }
    const reports = slices.map(({ lossSum, correctCount }) => ({ lossSum, correctCount }));
    const clipped = gradientSum instanceof Float32Array ? {} : { clippedCount };
    const counts = { sampleCount, slices: reports, ...clipped };
    const message: WorkerMessage = { type: 'gradient', step, range, ...counts, phases, contributions };
    this.#link.sendAndReturn(frame.seal(message), (memory) => this.#frames.giveBack(memory));
    this.#handlers.onProgress({ step, images: sampleCount, slices: range.count });
  }

  #send(message: WorkerMessage): void {
    this.#link.send(encodeFrame(message));
  }
}

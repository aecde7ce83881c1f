// Does the work for one run on one connection: answers requests for partial sums and evaluations, and fetches shards.
import { machineMs } from '../shared/clock.js';
import { recordFormatOf } from '../shared/dataset/record-format.js';
import { isDeviceLost, ProtocolError } from '../shared/errors.js';
import { collectYoungGeneration } from '../shared/gc.js';
import type { EngineIdentity } from '../shared/protocol/engine-identity.js';
import { PartialSumFormat, sumEncodingOf } from '../shared/encoding/partial-sum.js';
import { loadUpdateModule } from '../shared/optimizer/load-update-module.js';
import { encodeFrame } from '../shared/protocol/frame.js';
import { ownMemoryOf } from '../shared/protocol/own-memory.js';
import {
  maxCoordinatorMessageBytes,
  type ComputeMessage,
  type EvaluateMessage,
  type PublishedWeightsMessage,
  type WeightsDifferenceMessage,
  type Welcome,
  type WorkerMessage,
} from '../shared/protocol/messages.js';
import { describeRange, isAlignedRange, type SliceRange } from '../shared/reduction/slices.js';
import { failureOf } from './connection/failure-report.js';
import { evaluateShard } from './computation/evaluate-shard.js';
import { AbandonedRound, LocalSteps } from './computation/local-steps.js';
import { SliceComputer } from './computation/slice-computer.js';
import { SliceImages, type ReadShard } from './computation/slice-images.js';
import type { CoordinatorLink } from './connection/coordinator-link.js';
import { OutgoingFrames } from './connection/outgoing-frames.js';
import type { DeviceModels, ModelSpec } from './device-models.js';
import { loadRoundingKernels } from './encoding/rounding-kernels.js';
import { SliceEncoder } from './encoding/slice-encoder.js';
import type { EngineModel } from './engine.js';
import { HeldWeights, type Weights } from './held-weights.js';
import type { EngineSpeeds } from './measurement/engine-speeds.js';
import { probeModel } from './measurement/probe-model.js';
import { PhaseTimer } from './phase-timer.js';
import type { RunShards } from './shards/run-shards.js';
import type { SessionHandlers, SessionWork } from './session.js';
import { ShardClient } from './shards/shard-client.js';
import { WorkQueue } from './work-queue.js';

/** The engines that this worker offers. */
export interface RunEngines {
  devices: DeviceModels;
  speeds: EngineSpeeds;
}

export interface RunWorkHandlers extends Pick<SessionHandlers, 'onEngine' | 'onProgress'> {
  onFailure: (error: unknown) => void;
}

export class RunWork implements SessionWork {
  readonly shards: ShardClient;
  readonly maxMessageBytes: number;
  readonly #run: Welcome;
  readonly #spec: ModelSpec;
  readonly #engines: RunEngines;
  readonly #link: CoordinatorLink;
  readonly #handlers: RunWorkHandlers;
  readonly #abandoned = new AbortController();
  /** Requests for work; undefined until the coordinator has chosen the engine. */
  #queue: WorkQueue<SliceComputer> | undefined;
  /** Settles when the engines have been probed and measured. */
  #measured: Promise<void> = Promise.resolve();
  readonly #frames = new OutgoingFrames();
  readonly #timer = new PhaseTimer();
  readonly #readShard: ReadShard = (split, index) => this.shards.recordsOf(split, index);
  readonly #weights: HeldWeights;
  /** The weights that are on the device; undefined before the first are loaded. */
  #loaded: Weights | undefined;

  constructor(
    run: Welcome,
    spec: ModelSpec,
    engines: RunEngines,
    held: RunShards,
    link: CoordinatorLink,
    handlers: RunWorkHandlers,
  ) {
    this.#run = run;
    this.#spec = spec;
    this.#engines = engines;
    this.#link = link;
    this.#handlers = handlers;
    this.maxMessageBytes = maxCoordinatorMessageBytes(spec.layout, run.config.encoding);
    this.#weights = new HeldWeights(spec.layout, run.config.encoding);
    this.shards = new ShardClient(run.shards, recordFormatOf(run.dataset), held, (message) => this.#send(message));
  }

  /** Computes the probe of an engine and reports the fingerprint that contains it. */
  probe(fingerprint: string): void {
    if (this.#queue !== undefined) throw new ProtocolError('probe arrived after the engine had been chosen');
    const engine = this.#offered(fingerprint);
    this.#measured = this.#measured.then(() => this.#sendProbe(engine)).catch((error: unknown) => this.#failed(error));
  }

  /** Measures these engines and reports their speeds. */
  measure(fingerprints: readonly string[]): void {
    if (this.#queue !== undefined) throw new ProtocolError('measure arrived after the engine had been chosen');
    const engines = fingerprints.map((fingerprint) => this.#offered(fingerprint));
    this.#measured = this.#measured
      .then(() => this.#sendSpeeds(engines))
      .catch((error: unknown) => this.#failed(error));
  }

  /** Creates the model of this engine, which all later requests use. */
  useEngine(fingerprint: string): void {
    if (this.#queue !== undefined) throw new ProtocolError('use-engine arrived a second time');
    const engine = this.#offered(fingerprint);
    const { layout } = this.#spec;
    const images = new SliceImages({ ...this.#run, ...this.#spec }, this.#readShard);
    const load = async () => {
      await this.#measured;
      this.#engines.devices.keepOnly(fingerprint);
      const model = await this.#engines.devices.load(fingerprint, this.#spec);
      const localSteps = await this.#createLocalSteps(model, images);
      return new SliceComputer(layout, model, images, await this.#createEncoder(), localSteps);
    };
    this.#queue = new WorkQueue(load(), (error) => this.#failed(error));
    this.#handlers.onEngine(engine);
  }

  /**
   * Stores the coordinator's own weights for a step. Drops waiting requests for earlier steps, because those steps are
   * complete.
   */
  receiveWeights(step: number, payload: Uint8Array): void {
    // The model has a copy of the previous weights.
    const unused = this.#weights.receiveOwn(step, payload);
    if (unused !== undefined) this.#link.reuse(unused);
    this.#weightsReceived(step);
  }

  /** Like receiveWeights, for the published weights. */
  receivePublished(message: PublishedWeightsMessage, payload: Uint8Array): void {
    this.#weights.receivePublished(message, payload);
    this.#reuse(payload);
    this.#weightsReceived(message.step);
  }

  /** Like receiveWeights, for the difference between the published weights and those of the step before. */
  receiveDifference(message: WeightsDifferenceMessage, payload: Uint8Array): void {
    this.#weights.receiveDifference(message, payload);
    this.#reuse(payload);
    this.#weightsReceived(message.step);
  }

  /** Lets later messages use the memory of one whose content has been copied. */
  #reuse(payload: Uint8Array): void {
    const memory = ownMemoryOf(payload);
    if (memory !== undefined) this.#link.reuse(memory);
  }

  #weightsReceived(step: number): void {
    this.#queue?.dropBefore(step);
    this.#timer.weightsReceived();
  }

  compute(request: ComputeMessage): void {
    const receivedMs = machineMs();
    const weights = this.#assertWeights(request, this.#weights.forTraining);
    const { slices } = this.#run.config;
    for (const range of request.ranges) {
      if (isAlignedRange(range, slices)) continue;
      throw new ProtocolError(
        `invalid slice range (${describeRange(range)}): not an aligned range in a run of ${slices} slices`,
      );
    }
    for (const range of request.ranges) {
      this.#enqueue(request.step, (computer) => {
        this.#setWeights(computer, weights);
        return this.#sendPartialSum(computer, request, range, weights.gradientScales, receivedMs);
      });
    }
  }

  /** Drops the requests for a step, which others have answered, and says so when the current one has ended. */
  cancel(step: number): void {
    this.#queue?.dropBefore(step + 1);
    this.#enqueue(step + 1, () => Promise.resolve(this.#send({ type: 'cancelled', step })));
  }

  evaluate(request: EvaluateMessage): void {
    const weights = this.#assertWeights(request, this.#weights.forEvaluation);
    this.#enqueue(request.step, async ({ model }) => {
      this.#loadWeights(model, weights);
      this.#send(...(await evaluateShard({ ...this.#run, ...this.#spec }, model, this.#readShard, request)));
    });
  }

  /** Drops all waiting requests. Resolves when the current computation and all fetches and writes have ended. */
  async abandon(): Promise<void> {
    this.#abandoned.abort();
    await Promise.all([this.shards.abandon(), this.#measured, this.#queue?.close()]);
  }

  #offered(fingerprint: string): EngineIdentity {
    const engine = this.#engines.devices.identityOf(fingerprint);
    if (engine === undefined) throw new ProtocolError(`this worker does not offer ${JSON.stringify(fingerprint)}`);
    return engine;
  }

  async #sendProbe({ fingerprint }: EngineIdentity): Promise<void> {
    const { batchSize, slices } = this.#run.config;
    try {
      const { devices } = this.#engines;
      const model = await devices.load(fingerprint, this.#spec);
      const probed = devices.addProbe(fingerprint, await probeModel(model, this.#spec.layout, batchSize / slices));
      this.#send({ type: 'probe-result', fingerprint, probed });
    } catch (error) {
      if (isDeviceLost(error)) throw error;
      this.#send({ type: 'probe-result', fingerprint, failure: failureOf(error) });
    }
  }

  async #sendSpeeds(engines: readonly EngineIdentity[]): Promise<void> {
    const { batchSize, slices } = this.#run.config;
    const speeds = await this.#engines.speeds.of(engines, this.#spec, batchSize / slices, this.#abandoned.signal);
    this.#send({ type: 'measurement', speeds });
  }

  async #createEncoder(): Promise<SliceEncoder | undefined> {
    const { encoding, seed } = this.#run.config;
    if (encoding === 'float32') return undefined;
    return new SliceEncoder(this.#spec.layout, seed, await loadRoundingKernels());
  }

  async #createLocalSteps(model: EngineModel, images: SliceImages): Promise<LocalSteps | undefined> {
    if (this.#run.config.localSteps === 1) return undefined;
    const isNeeded = (step: number) => !this.#abandoned.signal.aborted && this.#queue!.isNeeded(step);
    return new LocalSteps(this.#run, this.#spec.layout, model, images, isNeeded, await loadUpdateModule());
  }

  /** Reports a failure, unless nobody needs the work anymore, which makes measurements and local steps fail. */
  #failed(error: unknown): void {
    // The models of a lost device cannot be used anymore; the engine creates others on its next device.
    if (isDeviceLost(error)) this.#engines.devices.dispose();
    if (!this.#abandoned.signal.aborted && !(error instanceof AbandonedRound)) this.#handlers.onFailure(error);
  }

  #assertWeights({ type, step }: ComputeMessage | EvaluateMessage, held: Weights | undefined): Weights {
    if (held?.step === step) return held;
    const actual = held === undefined ? 'no weights' : `the weights for step ${held.step}`;
    throw new ProtocolError(`${type} for step ${step} arrived, but this worker has ${actual}`);
  }

  #enqueue(step: number, job: (computer: SliceComputer) => Promise<void>): void {
    if (this.#queue === undefined) throw new ProtocolError(`a request for step ${step} arrived before use-engine`);
    this.#queue.add(step, job);
  }

  /** Sets the weights with which the next partial sums are computed. */
  #setWeights({ model, localSteps }: SliceComputer, weights: Weights): void {
    if (localSteps === undefined) return this.#loadWeights(model, weights);
    localSteps.setStart(weights.values, weights.movingStatistics);
    // Local steps load weights of their own.
    this.#loaded = undefined;
  }

  #loadWeights(model: EngineModel, weights: Weights): void {
    if (weights === this.#loaded) return;
    model.setWeights(weights.values, weights.movingStatistics);
    this.#loaded = weights;
  }

  async #sendPartialSum(
    computer: SliceComputer,
    request: ComputeMessage,
    range: SliceRange,
    scales: Float32Array | undefined,
    receivedMs: number,
  ) {
    const { step, ranges, timed } = request;
    const startedMs = machineMs();
    const format = new PartialSumFormat(this.#spec.layout, sumEncodingOf(this.#run.config.encoding, scales));
    const frame = this.#frames.take(format.payloadFloats(range.count), range.count);
    const payload = format.viewsOf(frame.payload, range.count);
    const { times, ...sums } = await (scales === undefined
      ? computer.sumRange(step, range, payload)
      : computer.sumRangeScaled(step, range, scales, payload));
    const { waitMs, sendMs, preparations } = this.#timer.take();
    const phases = { waitMs, ...times.phases, sendMs };
    const sealed = frame.seal({ type: 'gradient', step, range, ...sums, phases } satisfies WorkerMessage);
    if (timed) {
      const spans = { slices: times.slices, additions: times.additions, preparations };
      // Send the timing first: once the coordinator has the partial sum, it may complete the step.
      this.#send({ type: 'timing', step, range, receivedMs, startedMs, sentMs: machineMs(), ...spans });
    }
    const sent = this.#timer.sending();
    this.#link.sendAndReturn(sealed, (memory) => {
      sent();
      this.#frames.giveBack(memory);
      // The next step most likely has the same ranges. Prepare it only after sending, because the whole run may be
      // waiting for this partial sum.
      if (range === ranges.at(-1) && this.#queue?.isEmpty) this.#prepare(computer.roundEnd(step), ranges);
    });
    this.#handlers.onProgress({ step: computer.roundEnd(step) - 1, images: sums.sampleCount, slices: range.count });
  }

  /** Prepares for a step: does the part of the work that does not depend on the weights. */
  #prepare(step: number, ranges: readonly SliceRange[]): void {
    this.#enqueue(step, (computer) =>
      this.#timer.preparing(async () => {
        collectYoungGeneration();
        await computer.prepare(step, ranges);
      }),
    );
  }

  #send(message: WorkerMessage, ...payload: Uint8Array[]): void {
    this.#link.send(encodeFrame(message, ...payload));
  }
}

// Does the work for one run on one connection: answers requests for partial sums and evaluations, and fetches shards.
import { machineMs } from '../shared/clock.js';
import { recordFormatOf } from '../shared/dataset/record-format.js';
import { ProtocolError } from '../shared/errors.js';
import { collectYoungGeneration } from '../shared/gc.js';
import type { EngineIdentity } from '../shared/protocol/engine-identity.js';
import { encodeFrame, floatsOf } from '../shared/protocol/frame.js';
import { ownMemoryOf } from '../shared/protocol/own-memory.js';
import {
  maxCoordinatorMessageBytes,
  type ComputeMessage,
  type EvaluateMessage,
  type Welcome,
  type WorkerMessage,
} from '../shared/protocol/messages.js';
import { describeRange, isAlignedRange, type SliceRange } from '../shared/reduction/slices.js';
import type { WorkerProgress } from '../shared/worker/events.js';
import { evaluateShard } from './computation/evaluate-shard.js';
import { SliceComputer } from './computation/slice-computer.js';
import { SliceImages, type ReadShard } from './computation/slice-images.js';
import type { CoordinatorLink } from './connection/coordinator-link.js';
import { OutgoingFrames } from './connection/outgoing-frames.js';
import type { DeviceModels, ModelSpec } from './device-models.js';
import type { EngineModel } from './engine.js';
import type { EngineSpeeds } from './measurement/engine-speeds.js';
import { PhaseTimer } from './phase-timer.js';
import type { RunShards } from './shards/run-shards.js';
import type { SessionWork } from './session.js';
import { ShardClient } from './shards/shard-client.js';
import { WorkQueue } from './work-queue.js';

/** The engines that this worker offers. */
export interface RunEngines {
  devices: DeviceModels;
  speeds: EngineSpeeds;
}

export interface RunWorkHandlers {
  /** Called when the coordinator has chosen the engine. */
  onEngine: (engine: EngineIdentity) => void;
  /** Called after each partial sum. */
  onProgress: (progress: WorkerProgress) => void;
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
  /** Settles when the engines have been measured. */
  #measured: Promise<void> = Promise.resolve();
  readonly #frames = new OutgoingFrames();
  readonly #timer = new PhaseTimer();
  readonly #readShard: ReadShard = (split, index) => this.shards.recordsOf(split, index);
  /** The latest weights, followed by the moving statistics. */
  #weights: { step: number; values: Float32Array; memory: ArrayBuffer | undefined } | undefined;
  /** The step whose weights are on the device; -1 before the first weights are loaded. */
  #loadedStep = -1;

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
    this.maxMessageBytes = maxCoordinatorMessageBytes(spec.layout);
    this.shards = new ShardClient(run.shards, recordFormatOf(run.dataset), held, (message) => this.#send(message));
  }

  /** Measures these engines and reports their speeds. */
  measure(fingerprints: readonly string[]): void {
    if (this.#queue !== undefined) throw new ProtocolError('measure arrived after the engine had been chosen');
    const engines = fingerprints.map((fingerprint) => this.#offered(fingerprint));
    this.#measured = this.#measured
      .then(() => this.#sendSpeeds(engines))
      .catch((error: unknown) => {
        if (!this.#abandoned.signal.aborted) this.#handlers.onFailure(error);
      });
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
      return new SliceComputer(layout, await this.#engines.devices.load(fingerprint, this.#spec), images);
    };
    this.#queue = new WorkQueue(load(), this.#handlers.onFailure);
    this.#handlers.onEngine(engine);
  }

  /** Stores the weights for a step. Drops waiting requests for earlier steps, because those steps are complete. */
  receiveWeights(step: number, payload: Uint8Array): void {
    const { layout } = this.#spec;
    const values = floatsOf(payload, layout.weightsSize + layout.statisticsSize);
    // The model has a copy of the previous weights.
    if (this.#weights?.memory !== undefined) this.#link.reuse(this.#weights.memory);
    this.#weights = { step, values, memory: ownMemoryOf(payload) };
    this.#queue?.dropBefore(step);
    this.#timer.weightsReceived();
  }

  compute(request: ComputeMessage): void {
    const receivedMs = machineMs();
    this.#assertWeights(request);
    const { slices } = this.#run.config;
    for (const range of request.ranges) {
      if (isAlignedRange(range, slices)) continue;
      throw new ProtocolError(
        `invalid slice range (${describeRange(range)}): not an aligned range in a run of ${slices} slices`,
      );
    }
    for (const range of request.ranges) {
      this.#enqueue(request.step, (computer) => this.#sendPartialSum(computer, request, range, receivedMs));
    }
  }

  evaluate(request: EvaluateMessage): void {
    this.#assertWeights(request);
    this.#enqueue(request.step, async ({ model }) => {
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

  async #sendSpeeds(engines: readonly EngineIdentity[]): Promise<void> {
    const { batchSize, slices } = this.#run.config;
    const speeds = await this.#engines.speeds.of(engines, this.#spec, batchSize / slices, this.#abandoned.signal);
    this.#send({ type: 'measurement', speeds });
  }

  #assertWeights({ type, step }: ComputeMessage | EvaluateMessage): void {
    if (this.#weights?.step === step) return;
    const actual = this.#weights === undefined ? 'no weights' : `the weights for step ${this.#weights.step}`;
    throw new ProtocolError(`${type} for step ${step} arrived, but this worker has ${actual}`);
  }

  #enqueue(step: number, job: (computer: SliceComputer) => Promise<void>): void {
    if (this.#queue === undefined) throw new ProtocolError(`a request for step ${step} arrived before use-engine`);
    this.#queue.add(step, async (computer) => {
      this.#loadWeights(computer.model);
      await job(computer);
    });
  }

  #loadWeights(model: EngineModel): void {
    if (this.#weights === undefined || this.#weights.step === this.#loadedStep) return;
    const { step, values } = this.#weights;
    const { weightsSize } = this.#spec.layout;
    model.setWeights(values.subarray(0, weightsSize), values.subarray(weightsSize));
    this.#loadedStep = step;
  }

  async #sendPartialSum(computer: SliceComputer, request: ComputeMessage, range: SliceRange, receivedMs: number) {
    const { step, ranges, timed } = request;
    const startedMs = machineMs();
    const frame = this.#frames.take(computer.payloadFloats(range), range.count);
    const { sampleCount, slices, times } = await computer.sumRange(step, range, frame.payload);
    const { waitMs, sendMs, preparations } = this.#timer.take();
    const phases = { waitMs, ...times.phases, sendMs };
    const sealed = frame.seal({ type: 'gradient', step, range, sampleCount, slices, phases } satisfies WorkerMessage);
    if (timed) {
      const spans = { slices: times.slices, additions: times.additions, preparations };
      // Send the timing first: once the coordinator has the partial sum, it may complete the step.
      this.#send({ type: 'timing', step, range, receivedMs, startedMs, sentMs: machineMs(), ...spans });
    }
    const sent = this.#timer.sending();
    this.#link.send(sealed, () => {
      sent();
      this.#frames.giveBack(frame);
      // The next step most likely has the same ranges. Prepare it only after sending, because the whole run may be
      // waiting for this partial sum.
      if (range === ranges.at(-1) && this.#queue?.isEmpty) this.#prepare(step + 1, ranges);
    });
    this.#handlers.onProgress({ step, images: sampleCount, slices: range.count });
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

// Does the work for one run on one connection: answers requests for partial sums and evaluations, and fetches shards.
import { machineMs } from '../shared/clock.js';
import { ProtocolError } from '../shared/errors.js';
import { collectYoungGeneration } from '../shared/gc.js';
import type { ModelLayout } from '../shared/network/layout.js';
import { encodeFrame, floatsOf, OutgoingFrame } from '../shared/protocol/frame.js';
import { ownMemoryOf } from '../shared/protocol/message-memory.js';
import {
  maxCoordinatorMessageBytes,
  type ComputeMessage,
  type EvaluateMessage,
  type Welcome,
  type WorkerMessage,
} from '../shared/protocol/messages.js';
import { describeRange, isAlignedRange, type SliceRange } from '../shared/reduction/slices.js';
import { evaluateShard } from './computation/evaluate-shard.js';
import { SliceComputer } from './computation/slice-computer.js';
import { SliceImages, type ReadShard } from './computation/slice-images.js';
import type { CoordinatorLink } from './connection/coordinator-link.js';
import type { EngineModel } from './engine.js';
import { PhaseTimer } from './phase-timer.js';
import { ShardClient, type ShardCaches } from './shards/shard-client.js';
import { WorkQueue } from './work-queue.js';

export interface RunWorkHandlers {
  /** Called after each partial sum with the number of images that it covers. */
  onProgress: (step: number, images: number) => void;
  onFailure: (error: unknown) => void;
}

export class RunWork {
  readonly shards: ShardClient;
  readonly maxMessageBytes: number;
  readonly #run: Welcome;
  readonly #layout: ModelLayout;
  readonly #link: CoordinatorLink;
  readonly #onProgress: RunWorkHandlers['onProgress'];
  readonly #queue: WorkQueue<SliceComputer>;
  /** Frames that have been sent and can be reused. */
  readonly #sentFrames: OutgoingFrame[] = [];
  readonly #timer = new PhaseTimer();
  readonly #readShard: ReadShard = (split, index) => this.shards.recordsOf(split, index);
  /** The latest weights, followed by the moving statistics. */
  #weights: { step: number; values: Float32Array; memory: ArrayBuffer | undefined } | undefined;
  /** The step whose weights are on the device; -1 if there are none yet. */
  #loadedStep = -1;

  constructor(
    run: Welcome,
    layout: ModelLayout,
    loading: Promise<EngineModel>,
    caches: ShardCaches,
    link: CoordinatorLink,
    { onProgress, onFailure }: RunWorkHandlers,
  ) {
    this.#run = run;
    this.#layout = layout;
    this.#link = link;
    this.#onProgress = onProgress;
    this.maxMessageBytes = maxCoordinatorMessageBytes(layout);
    this.shards = new ShardClient(run.shards, caches, (message) => this.#send(message));
    const images = new SliceImages(run, this.#readShard);
    this.#queue = new WorkQueue(
      loading.then((model) => new SliceComputer(layout, model, images)),
      onFailure,
    );
  }

  /** Stores the weights for a step. Drops requests for earlier steps, which have been completed by other workers. */
  receiveWeights(step: number, payload: Uint8Array): void {
    const values = floatsOf(payload, this.#layout.trainableSize + this.#layout.statisticsSize);
    // The model has a copy of the previous weights.
    if (this.#weights?.memory !== undefined) this.#link.reuse(this.#weights.memory);
    this.#weights = { step, values, memory: ownMemoryOf(payload) };
    this.#queue.dropBefore(step);
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
      this.#send(...(await evaluateShard(this.#run, model, this.#readShard, request)));
    });
  }

  /** Drops all waiting requests. Resolves when all computing, fetching and writing has ended. */
  async abandon(): Promise<void> {
    await Promise.all([this.shards.abandon(), this.#queue.close()]);
  }

  #assertWeights({ type, step }: ComputeMessage | EvaluateMessage): void {
    if (this.#weights?.step === step) return;
    const actual = this.#weights === undefined ? 'no weights' : `the weights for step ${this.#weights.step}`;
    throw new ProtocolError(`${type} for step ${step} arrived, but this worker has ${actual}`);
  }

  #enqueue(step: number, job: (computer: SliceComputer) => Promise<void>): void {
    this.#queue.add(step, async (computer) => {
      this.#loadWeights(computer.model);
      await job(computer);
    });
  }

  #loadWeights(model: EngineModel): void {
    if (this.#weights === undefined || this.#weights.step === this.#loadedStep) return;
    const { step, values } = this.#weights;
    const { trainableSize } = this.#layout;
    model.setWeights(values.subarray(0, trainableSize), values.subarray(trainableSize));
    this.#loadedStep = step;
  }

  async #sendPartialSum(computer: SliceComputer, request: ComputeMessage, range: SliceRange, receivedMs: number) {
    const { step, ranges, timed } = request;
    const startedMs = machineMs();
    const frame = this.#takeFrame(computer.payloadFloats(range), range.count);
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
      this.#sentFrames.push(frame);
      // The next step most likely has the same ranges. Prepare it only after sending, because the whole run may be
      // waiting for this partial sum.
      if (range === ranges.at(-1) && this.#queue.isEmpty) this.#prepare(step + 1, ranges);
    });
    this.#onProgress(step, sampleCount);
  }

  #takeFrame(payloadFloats: number, headerItems: number): OutgoingFrame {
    const index = this.#sentFrames.findIndex(({ payload }) => payload.length === payloadFloats);
    return index === -1 ? new OutgoingFrame(payloadFloats, headerItems) : this.#sentFrames.splice(index, 1)[0];
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

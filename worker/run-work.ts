// The work for one run on one connection: answers requests for partial sums and evaluations, and fetches shards.
import { machineMs } from '../shared/clock.js';
import { ProtocolError } from '../shared/errors.js';
import { collectYoungGeneration } from '../shared/gc.js';
import type { ModelLayout } from '../shared/network/layout.js';
import { encodeFrame, floatsOf, OutgoingFrame } from '../shared/protocol/frame.js';
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
  /** Called after each partial sum with the number of images computed. */
  onProgress: (step: number, images: number) => void;
  onFailure: (error: unknown) => void;
}

interface Device {
  model: EngineModel;
  computer: SliceComputer;
}

/** The latest weights, as views of their message. */
interface ReceivedWeights {
  step: number;
  weights: Float32Array;
  movingStatistics: Float32Array;
}

export class RunWork {
  readonly shards: ShardClient;
  readonly maxMessageBytes: number;
  readonly #run: Welcome;
  readonly #layout: ModelLayout;
  readonly #link: CoordinatorLink;
  readonly #handlers: RunWorkHandlers;
  readonly #queue: WorkQueue<Device>;
  readonly #frames = new FramePool();
  readonly #timer = new PhaseTimer();
  readonly #readShard: ReadShard = (split, index) => this.shards.recordsOf(split, index);
  #weights: ReceivedWeights | undefined;
  /** The step whose weights are on the device. */
  #loadedStep = -1;

  constructor(
    run: Welcome,
    layout: ModelLayout,
    loading: Promise<EngineModel>,
    caches: ShardCaches,
    link: CoordinatorLink,
    handlers: RunWorkHandlers,
  ) {
    this.#run = run;
    this.#layout = layout;
    this.#link = link;
    this.#handlers = handlers;
    this.maxMessageBytes = maxCoordinatorMessageBytes(layout);
    this.shards = new ShardClient(run.shards, caches, (message) => this.#send(message));
    const images = new SliceImages(run, this.#readShard);
    const device = loading.then((model) => ({ model, computer: new SliceComputer(layout, model, images) }));
    this.#queue = new WorkQueue(device, handlers.onFailure);
  }

  /** Takes a step's weights. Requests for earlier steps are dropped: other workers have finished those steps. */
  receiveWeights(step: number, payload: Uint8Array): void {
    const { trainableSize, statisticsSize } = this.#layout;
    const values = floatsOf(payload, trainableSize + statisticsSize);
    const [weights, movingStatistics] = [values.subarray(0, trainableSize), values.subarray(trainableSize)];
    this.#weights = { step, weights, movingStatistics };
    this.#queue.dropBefore(step);
    this.#timer.weightsReceived();
  }

  compute(request: ComputeMessage): void {
    const receivedMs = machineMs();
    this.#assertWeights(request);
    const { slices } = this.#run.config;
    for (const range of request.ranges) {
      if (isAlignedRange(range, slices)) continue;
      throw new ProtocolError(`${describeRange(range)} is not an aligned range of ${slices} slices`);
    }
    for (const range of request.ranges) {
      this.#enqueue(request.step, ({ computer }) => this.#sendPartialSum(computer, request, range, receivedMs));
    }
  }

  evaluate(request: EvaluateMessage): void {
    this.#assertWeights(request);
    this.#enqueue(request.step, ({ model }) => this.#sendEvaluation(model, request));
  }

  /** Drops what waits. Resolves when nothing is computed, fetched or written any more. */
  async abandon(): Promise<void> {
    this.shards.abandon();
    await this.#queue.close();
    await this.shards.settled();
  }

  #assertWeights({ type, step }: ComputeMessage | EvaluateMessage): void {
    if (this.#weights?.step === step) return;
    const actual = this.#weights === undefined ? 'no weights' : `the weights of step ${this.#weights.step}`;
    throw new ProtocolError(`${type} for step ${step} arrived, but this worker has ${actual}`);
  }

  #enqueue(step: number, job: (device: Device) => Promise<void>): void {
    this.#queue.add(step, async (device) => {
      if (this.#weights !== undefined && this.#weights.step !== this.#loadedStep) {
        device.model.setWeights(this.#weights.weights, this.#weights.movingStatistics);
        this.#loadedStep = this.#weights.step;
      }
      await job(device);
    });
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
      // Before the partial sum, which may be the last that the coordinator waits for.
      this.#send({ type: 'timing', step, range, receivedMs, startedMs, sentMs: machineMs(), ...spans });
    }
    const sent = this.#timer.sending();
    this.#link.send(sealed, () => {
      sent();
      this.#frames.release(frame);
      // The next step most likely has the same ranges. Prepared only now, because the whole run may wait for this answer.
      if (range === ranges.at(-1) && this.#queue.isEmpty) this.#enqueue(step + 1, this.#preparation(step + 1, ranges));
    });
    this.#handlers.onProgress(step, sampleCount);
  }

  /** A job that does in advance what a step needs no weights for. */
  #preparation(step: number, ranges: readonly SliceRange[]) {
    return ({ computer }: Device) =>
      this.#timer.preparing(async () => {
        // Garbage since the last preparation: the weights, and the gradient of each slice.
        const vectors = 1 + ranges.reduce((sum, { count }) => sum + count, 0);
        collectYoungGeneration(vectors * this.#layout.trainableSize * Float32Array.BYTES_PER_ELEMENT);
        await computer.prepare(step, ranges);
      });
  }

  async #sendEvaluation(model: EngineModel, request: EvaluateMessage): Promise<void> {
    const { sampleCount, lossSum, correctCount, predicted } = await evaluateShard(
      this.#run,
      model,
      this.#readShard,
      request,
    );
    const { step, split, index } = request;
    this.#send({ type: 'evaluation', step, split, index, sampleCount, lossSum, correctCount }, predicted);
  }

  #send(message: WorkerMessage, ...payload: Uint8Array[]): void {
    this.#link.send(encodeFrame(message, ...payload));
  }
}

/** Outgoing frames to fill again once they have been sent. */
class FramePool {
  readonly #free = new Map<number, OutgoingFrame[]>();

  take(payloadFloats: number, headerItems: number): OutgoingFrame {
    return this.#free.get(payloadFloats)?.pop() ?? new OutgoingFrame(payloadFloats, headerItems);
  }

  release(frame: OutgoingFrame): void {
    const size = frame.payload.length;
    const free = this.#free.get(size);
    if (free === undefined) this.#free.set(size, [frame]);
    else free.push(frame);
  }
}

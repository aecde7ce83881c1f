// One connection to a coordinator, from hello to goodbye: computes what is asked for, one request after the other.
import type { Preprocessing } from '../shared/dataset/image-batch.js';
import { measuredSizeOf, preprocessingFromValues } from '../shared/dataset/measured-preprocessing.js';
import { machineMs } from '../shared/clock.js';
import { LockstepError, messageOf, ProtocolError } from '../shared/errors.js';
import type { EngineIdentity } from '../shared/protocol/engine-identity.js';
import { collectYoungGeneration } from '../shared/gc.js';
import { layoutHash } from '../shared/network/layout-hash.js';
import { layoutModel, type ModelLayout } from '../shared/network/layout.js';
import { closeCodes } from '../shared/protocol/close-codes.js';
import { decodeFrame, encodeFrame, floatsOf, OutgoingFrame } from '../shared/protocol/frame.js';
import {
  maxCoordinatorMessageBytes,
  maxCachedShards,
  parseCoordinatorMessage,
  protocolVersion,
  type ComputeMessage,
  type CoordinatorMessage,
  type RefusalCode,
  type TimingMessage,
  type Welcome,
  type WorkerMessage,
} from '../shared/protocol/messages.js';
import { describeRange, isAlignedRange, type SliceRange } from '../shared/reduction/slices.js';
import { lockstepVersion } from '../shared/version.js';
import type { CoordinatorLink, OpenLink } from './connection/coordinator-link.js';
import type { EngineModel } from './engine.js';
import type { ShardMemoryCache } from './shards/shard-memory-cache.js';
import { ShardClient } from './shards/shard-client.js';
import { assertSoundPlan } from './plan-check.js';
import type { ShardCache } from './shards/shard-cache.js';
import { SliceComputer } from './slice-computer.js';

export interface SessionOptions {
  url: string;
  token: string;
  name: string;
  engine: EngineIdentity;
  cache: ShardCache;
  /** What this worker has in memory, from earlier connections too. */
  memoryCache: ShardMemoryCache;
  openLink: OpenLink;
  /** Gives the model on the engine's device; called once per welcome. */
  modelFor: (layout: ModelLayout, preprocessing: Preprocessing, labelSmoothing: number) => Promise<EngineModel>;
  /** Called when the coordinator has let this worker in. */
  onWelcome: (welcome: Welcome) => void;
  /** Called after each answered request with the images computed. */
  onProgress: (step: number, images: number) => void;
}

/** How a connection ended. Refused for good: knocking again would not help. */
export type SessionEnd =
  | { kind: 'goodbye'; reason: string }
  | { kind: 'refused'; code: RefusalCode; message: string }
  /** Final where knocking again would not help. */
  | { kind: 'lost'; reason: string; isFinal: boolean }
  | { kind: 'stopped' };

type Phase =
  | { phase: 'greeting' }
  | {
      phase: 'working';
      layout: ModelLayout;
      sliceCount: number;
      maxMessageBytes: number;
      shards: ShardClient;
      /** Settles when the model is on the device. */
      ready: Promise<{ model: EngineModel; computer: SliceComputer }>;
    }
  | { phase: 'ended' };

/**
 * So many requests may wait. A step has at most as many as there are slices, 4,096, and those of steps that are over fall
 * away as soon as the one in hand is done.
 */
const maxWaiting = 1 << 14;

/** The weights that arrived last, where they lie in their message. */
interface ReceivedWeights {
  step: number;
  weights: Float32Array;
  movingStatistics: Float32Array;
}

export class WorkerSession {
  /** Settles when the connection has ended; rejects where this worker's own engine failed. */
  readonly ended: Promise<SessionEnd>;
  readonly #options: SessionOptions;
  readonly #link: CoordinatorLink;
  readonly #closed: Promise<void>;
  #settle!: { resolve: (end: SessionEnd) => void; reject: (error: unknown) => void };
  #phase: Phase = { phase: 'greeting' };
  #lostReason: string | undefined;
  #shards: ShardClient | undefined;
  #weights: ReceivedWeights | undefined;
  /** The step whose weights are on the device. */
  #loadedStep = -1;
  /** Settles when the model is on the device, or cannot be. */
  #model: Promise<void> = Promise.resolve();
  /** Requests are answered one after the other. */
  #work: Promise<void> = Promise.resolve();
  /** Requests that are not begun. */
  #waiting = 0;
  readonly #freeFrames = new Map<number, OutgoingFrame[]>();
  #lastAnswerMs: number | undefined;
  /** When something was done beforehand, since the last answer. */
  readonly #preparations: TimingMessage['preparations'] = [];
  #waitMs = 0;
  #sendMs = 0;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.ended = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    let tellClosed!: () => void;
    this.#closed = new Promise((resolve) => {
      tellClosed = resolve;
    });
    this.#link = options.openLink(options.url, {
      onOpen: () => void this.#greet(),
      onMessage: (message) => this.#receive(message),
      onClosed: (reason, isFinal) => {
        tellClosed();
        this.#end({ kind: 'lost', reason: this.#lostReason ?? reason, isFinal });
      },
    });
  }

  /**
   * Resolves when the connection is closed and nothing is being made, computed or written any more: last words have left, and the
   * model may be used by another session.
   */
  async idle(): Promise<void> {
    await this.#closed;
    await this.#model;
    await this.#work;
    await this.#shards?.settled();
  }

  /** Says goodbye and ends the connection; what was being computed goes to others. */
  stop(reason: string): void {
    if (this.#phase.phase === 'ended') return;
    this.#send({ type: 'leave', reason });
    this.#link.close(closeCodes.goodbye);
    this.#end({ kind: 'stopped' });
  }

  async #greet(): Promise<void> {
    const { token, name, engine, cache, memoryCache } = this.#options;
    try {
      const held = new Set([...memoryCache.hashes, ...(await cache.list())]);
      const cachedShards = [...held].slice(0, maxCachedShards);
      this.#send({ type: 'hello', protocolVersion, lockstepVersion, token, name, engine, cachedShards });
    } catch (error) {
      this.#fail(error);
    }
  }

  #send(message: WorkerMessage, ...payload: Uint8Array[]): void {
    this.#link.send(encodeFrame(message, ...payload));
  }

  #receive(bytes: Uint8Array): void {
    // Nor is anything read that comes behind a broken message, until the other side has closed.
    if (this.#phase.phase === 'ended' || this.#lostReason !== undefined) return;
    try {
      if (this.#phase.phase === 'working' && bytes.length > this.#phase.maxMessageBytes) {
        throw new ProtocolError(`a message of ${bytes.length} bytes is longer than this model's longest`);
      }
      const { header, payload } = decodeFrame(bytes);
      this.#handle(parseCoordinatorMessage(header), payload);
    } catch (error) {
      this.#fail(error);
    }
  }

  #handle(message: CoordinatorMessage, payload: Uint8Array): void {
    if (message.type === 'refusal') {
      this.#end({ kind: 'refused', code: message.code, message: message.message });
      return;
    }
    if (message.type === 'goodbye') {
      this.#end({ kind: 'goodbye', reason: message.reason });
      return;
    }
    if (message.type === 'welcome') {
      this.#enter(message, payload);
      return;
    }
    const state = this.#phase;
    if (state.phase !== 'working') throw new ProtocolError(`${message.type} came before the welcome`);
    switch (message.type) {
      case 'weights': {
        const { trainableSize, statisticsSize } = state.layout;
        const values = floatsOf(payload, trainableSize + statisticsSize);
        const weights = values.subarray(0, trainableSize);
        this.#weights = { step: message.step, weights, movingStatistics: values.subarray(trainableSize) };
        if (this.#lastAnswerMs !== undefined) this.#waitMs += performance.now() - this.#lastAnswerMs;
        this.#lastAnswerMs = undefined;
        return;
      }
      case 'shard-chunk':
        state.shards.receive(message.sha256, message.offset, payload);
        return;
      case 'prefetch':
        state.shards.prefetch(message.sha256).catch((error: unknown) => this.#fail(error));
        return;
      case 'compute': {
        const receivedMs = machineMs();
        this.#assertWeightsOf(message);
        for (const range of message.ranges) {
          if (isAlignedRange(range, state.sliceCount)) continue;
          throw new ProtocolError(
            `asked to compute ${describeRange(range)}, which is no range of a tree over ${state.sliceCount} slices`,
          );
        }
        for (const range of message.ranges) {
          const isLast = range === message.ranges.at(-1);
          this.#enqueue(message.step, () => this.#answerRange(message, range, { receivedMs, isLast }));
        }
        return;
      }
      case 'evaluate':
        this.#assertWeightsOf(message);
        this.#enqueue(message.step, () => this.#answerEvaluation(message));
        return;
      default:
        message satisfies never;
    }
  }

  /** Weights come before what is to be done with them. */
  #assertWeightsOf({ type, step }: CoordinatorMessage & { step: number }): void {
    if (this.#weights?.step === step) return;
    const here = this.#weights === undefined ? 'none are here' : `those of step ${this.#weights.step} are here`;
    throw new ProtocolError(`asked to ${type} with the weights of step ${step}, and ${here}`);
  }

  #enter(welcome: Welcome, payload: Uint8Array): void {
    if (this.#phase.phase !== 'greeting') throw new ProtocolError('the coordinator welcomed us twice');
    const { cache, memoryCache, modelFor } = this.#options;
    const { config } = welcome;
    const layout = layoutOf(welcome);
    assertSoundPlan(welcome, layout);
    if (layoutHash(layout) !== welcome.layoutHash) {
      throw new ProtocolError('the coordinator lays the same model out in another way: use one version on both sides');
    }
    const shards = new ShardClient(welcome.shards, memoryCache, cache, {
      request: (sha256, offset, bytes) => this.#send({ type: 'shard-request', sha256, offset, bytes }),
      held: (sha256) => this.#send({ type: 'shard-held', sha256 }),
    });
    this.#shards = shards;
    const measured = floatsOf(payload, measuredSizeOf(config.preprocessing));
    const preprocessing = preprocessingFromValues(config.preprocessing, measured);
    const ready = modelFor(layout, preprocessing, config.labelSmoothing).then((model) => ({
      model,
      computer: new SliceComputer({ ...config, stepsPerEpoch: welcome.stepsPerEpoch }, layout, model, (split, index) =>
        shards.recordsOf(split, index),
      ),
    }));
    this.#phase = {
      phase: 'working',
      layout,
      sliceCount: config.slices,
      maxMessageBytes: maxCoordinatorMessageBytes(layout),
      shards,
      ready,
    };
    this.#model = ready.then(
      () => undefined,
      (error: unknown) => this.#fail(error),
    );
    this.#link.watch({
      heartbeatIntervalMs: 1000 * config.heartbeatInterval,
      heartbeatTimeoutMs: 1000 * config.heartbeatTimeout,
    });
    this.#options.onWelcome(welcome);
  }

  /** Puts a request behind those that came before it. What fails here is this worker's own failure. */
  #enqueue(step: number, answer: () => Promise<void>): void {
    const run = async () => {
      // An engine may have held up this thread since the last request: what has arrived meanwhile is read first.
      await new Promise((resolve) => setImmediate(resolve));
      // Weights for a later step mean that others have finished this one.
      this.#waiting--;
      if (this.#phase.phase !== 'working' || this.#lostReason !== undefined) return;
      if ((this.#weights?.step ?? step) > step) return;
      try {
        const { model } = await this.#phase.ready;
        if (this.#weights !== undefined && this.#weights.step !== this.#loadedStep) {
          model.setWeights(this.#weights.weights, this.#weights.movingStatistics);
          this.#loadedStep = this.#weights.step;
        }
        await answer();
      } catch (error) {
        this.#fail(error);
      }
    };
    if (++this.#waiting > maxWaiting) throw new ProtocolError(`asked for more than ${maxWaiting} things at once`);
    this.#work = this.#work.then(run);
  }

  async #answerRange(
    { step, timed, ranges }: ComputeMessage,
    range: SliceRange,
    { receivedMs, isLast }: { receivedMs: number; isLast: boolean },
  ): Promise<void> {
    if (this.#phase.phase !== 'working') return;
    const { computer } = await this.#phase.ready;
    const startedMs = machineMs();
    const frame = this.#takeFrame(computer.answerFloats(range), range.count);
    const report = await computer.sumRange(step, range, frame.payload);
    const { sampleCount, slices, augmentMs, computeMs, reduceMs } = report;
    const phases = { waitMs: this.#waitMs, augmentMs, computeMs, reduceMs, sendMs: this.#sendMs };
    this.#waitMs = 0;
    this.#sendMs = 0;
    const message: WorkerMessage = { type: 'gradient', step, range, sampleCount, slices, phases };
    // Before the answer, which may be the last that the coordinator waits for.
    const preparations = this.#preparations.splice(0);
    if (timed) {
      const times = { receivedMs, startedMs, sentMs: machineMs(), ...report.times, preparations };
      this.#send({ type: 'timing', step, range, ...times });
    }
    const sentMs = performance.now();
    this.#lastAnswerMs = sentMs;
    this.#link.send(frame.seal(message), () => {
      this.#sendMs += performance.now() - sentMs;
      this.#freeFrames.get(frame.payload.length)?.push(frame);
      // While the next weights are on their way: most likely the same slices are asked for then. Not before this answer
      // has left, which the whole run may be waiting for.
      if (isLast && this.#waiting === 0) this.#enqueue(step, () => this.#prepare(step + 1, ranges));
    });
    this.#options.onProgress(step, sampleCount);
  }

  async #prepare(step: number, ranges: readonly SliceRange[]): Promise<void> {
    if (this.#phase.phase !== 'working') return;
    const { layout, ready } = this.#phase;
    const { computer } = await ready;
    const startedMs = machineMs();
    // The weights, and each slice's gradient.
    const vectors = 1 + ranges.reduce((sum, { count }) => sum + count, 0);
    collectYoungGeneration(vectors * layout.trainableSize * Float32Array.BYTES_PER_ELEMENT);
    await computer.prepare(step, ranges);
    this.#preparations.push({ startedMs, endedMs: machineMs() });
  }

  async #answerEvaluation(request: { step: number; split: 'training' | 'validation' | 'test'; index: number }) {
    if (this.#phase.phase !== 'working') return;
    const { computer } = await this.#phase.ready;
    const { sampleCount, lossSum, correctCount, predicted } = await computer.evaluateShard(request);
    const { step, split, index } = request;
    this.#send({ type: 'evaluation', step, split, index, sampleCount, lossSum, correctCount }, predicted);
  }

  /** A frame that has left may be filled again. */
  #takeFrame(floats: number, slices: number): OutgoingFrame {
    const free = this.#freeFrames.get(floats);
    if (free === undefined) this.#freeFrames.set(floats, []);
    return free?.pop() ?? new OutgoingFrame(floats, slices);
  }

  /** A broken protocol ends the connection; anything else is this worker's failure, and the coordinator is told. */
  #fail(error: unknown): void {
    if (this.#phase.phase === 'ended') return;
    if (error instanceof ProtocolError) {
      this.#lostReason ??= error.message;
      this.#link.close(closeCodes.refused);
      return;
    }
    this.#send({ type: 'failure', message: messageOf(error).slice(0, 2000) });
    this.#link.close(closeCodes.goodbye);
    this.#conclude();
    const failure =
      error instanceof LockstepError ? error : new LockstepError('engine-failed', messageOf(error), { cause: error });
    this.#settle.reject(failure);
  }

  #end(end: SessionEnd): void {
    if (this.#phase.phase === 'ended') return;
    this.#conclude();
    if (end.kind === 'goodbye' || end.kind === 'refused') this.#link.close(closeCodes.goodbye);
    this.#settle.resolve(end);
  }

  #conclude(): void {
    if (this.#phase.phase === 'working') this.#phase.shards.abandon();
    this.#phase = { phase: 'ended' };
  }
}

/** A shape that cannot be laid out is the coordinator's fault, not this worker's. */
function layoutOf({ config }: Welcome): ModelLayout {
  try {
    return layoutModel(config);
  } catch (cause) {
    throw new ProtocolError(`the welcome has a model that there is not: ${messageOf(cause)}`, { cause });
  }
}

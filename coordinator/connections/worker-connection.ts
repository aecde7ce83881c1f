// One admitted worker's socket: what is sent to it, and what it says, parsed. Knows nothing of rounds or of other workers.
import type { Duplex } from 'node:stream';
import type { RawData, WebSocket } from 'ws';
import type { Clock } from '../../shared/clock.js';
import { messageOf, ProtocolError } from '../../shared/errors.js';
import type { EngineIdentity } from '../../shared/protocol/engine-identity.js';
import { closeCodes } from '../../shared/protocol/close-codes.js';
import { decodeFrame, encodeFrame } from '../../shared/protocol/frame.js';
import {
  chunkBytes,
  parseWorkerMessage,
  type CoordinatorMessage,
  type EvaluationMessage,
  type GradientMessage,
  type Shard,
  type RefusalCode,
  type WorkerMessage,
} from '../../shared/protocol/messages.js';
import { clockQuestion, readClockAnswer } from '../../shared/protocol/clock-question.js';
import { HeartbeatMonitor } from '../../shared/protocol/heartbeat.js';
import { describeRange, type SliceRange } from '../../shared/reduction/slices.js';
import type { Exchange } from '../monitoring/timeline/clock-offset.js';
import type { WeightsFrame } from './weights-frame.js';
import { WorkerSpeed } from '../scheduling/worker-speed.js';
import { WorkerTime } from '../scheduling/worker-time.js';

/** Weights of 16 million parameters: a worker that reads at all is never so far behind. */
const maxUnreadBytes = 64 * 1024 * 1024;
/** How long a worker may take to close its end. */
const goodbyeTimeoutMs = 3_000;

export interface WorkerConnectionOptions {
  id: number;
  name: string;
  /** Host and port of the other end, for people. */
  address: string;
  engine: EngineIdentity;
  /** Hashes of the shards in its cache. */
  cachedShards: readonly string[];
  /** A shard's records by its hash. */
  shardRecords: ReadonlyMap<string, Uint8Array>;
  /** Of the global batch: what an answer must say that it is the sum of. */
  imagesPerSlice: number;
  /** How often it is pinged. */
  heartbeatIntervalMs: number;
  /** Silent for longer, it is taken for dead. */
  heartbeatTimeoutMs: number;
  clock: Clock;
}

export interface WorkerConnectionHandlers {
  /** Called for each message but shard requests, which the connection answers itself. */
  onMessage: (message: WorkerMessage, payload: Uint8Array) => void;
  /** Called when it did what the protocol does not allow, and is sent away for it. */
  onBroken?: (why: string) => void;
  /** Called once, when nothing more will come. */
  onClosed: (reason: string) => void;
}

export class WorkerConnection {
  readonly id: number;
  readonly name: string;
  readonly address: string;
  readonly engine: EngineIdentity;
  readonly speed = new WorkerSpeed();
  readonly time = new WorkerTime();
  readonly joinedAt = new Date();
  /** Whether it is to tell when it did what, with each answer. */
  tellsTimes = false;
  /** Told what came of askTime. */
  onTimeTold: (exchange: Exchange) => void = () => undefined;
  #bytesSent = 0;
  #bytesReceived = 0;
  /** The step whose weights it was sent last. */
  #weightsStep = -1;
  /** Nodes of that step that it was asked for and has not answered. */
  #owedNodes = 0;
  /** When it was asked for the first of them, and what it has computed on since. */
  #orderedMs = 0;
  #computedMs = 0;
  /** Parts of an evaluation that it was asked for and has not answered. */
  #owedParts = 0;
  #closeReason: string | undefined;
  #isDismissed = false;
  /** Parts of shards that it waits for; of the first one a chunk is under way. */
  #requests: { sha256: string; records: Uint8Array; next: number; end: number }[] = [];
  readonly #clock: Clock;
  readonly #socket: WebSocket;
  readonly #shardRecords: ReadonlyMap<string, Uint8Array>;
  readonly #heldShards: Set<string>;
  readonly #imagesPerSlice: number;
  readonly #silence: HeartbeatMonitor;
  readonly #stopPinging: () => void;
  readonly #handlers: WorkerConnectionHandlers;

  /** @param transport what the socket's bytes come over */
  constructor(
    socket: WebSocket,
    transport: Duplex,
    options: WorkerConnectionOptions,
    handlers: WorkerConnectionHandlers,
  ) {
    this.id = options.id;
    this.name = options.name;
    this.address = options.address;
    this.engine = options.engine;
    this.#clock = options.clock;
    this.#socket = socket;
    this.#shardRecords = options.shardRecords;
    this.#imagesPerSlice = options.imagesPerSlice;
    // Others are of no use here, and a set of anything at all could grow for ever.
    this.#heldShards = new Set(options.cachedShards.filter((sha256) => options.shardRecords.has(sha256)));
    this.#handlers = handlers;
    const seconds = options.heartbeatTimeoutMs / 1000;
    this.#silence = new HeartbeatMonitor(options.clock, options.heartbeatTimeoutMs, () =>
      this.terminate(`silent for more than ${seconds} s`),
    );
    this.#stopPinging = options.clock.every(options.heartbeatIntervalMs, () => socket.ping());
    // Bytes, not messages: over a slow link a gradient takes longer than any silence, and pongs wait behind it.
    transport.on('data', () => this.#silence.heard());
    socket.on('message', (data) => this.#receive(data));
    // ws answers each with a pong, which is kept where nobody reads.
    socket.on('ping', () => {
      if (socket.bufferedAmount > maxUnreadBytes) this.terminate('it sends and does not read');
    });
    socket.on('pong', (data: Buffer) => {
      const answer = readClockAnswer(data);
      if (answer !== undefined) this.onTimeTold({ ...answer, reachedMs: answer.toldMs, heardMs: this.#clock.now() });
    });
    socket.on('error', (error) => {
      this.#closeReason ??= error.message;
      handlers.onBroken?.(error.message);
    });
    socket.on('close', (code) => {
      this.#silence.stop();
      this.#stopPinging();
      handlers.onClosed(this.#closeReason ?? `connection closed (${code})`);
    });
  }

  get bytesSent(): number {
    return this.#bytesSent;
  }

  get bytesReceived(): number {
    return this.#bytesReceived;
  }

  /** Milliseconds since anything was heard of it. */
  get silentMs(): number {
    return this.#silence.silentMs;
  }

  /** Whether it was asked for something that it has not answered. */
  get isBusy(): boolean {
    return this.#owedNodes > 0 || this.#owedParts > 0;
  }

  send(message: CoordinatorMessage, ...payload: Uint8Array[]): void {
    this.#sendFrame(encodeFrame(message, ...payload));
  }

  /** Asks for the sums over ranges of a step; sends the step's weights before that, if this worker has others. */
  compute(weights: WeightsFrame, ranges: SliceRange[]): void {
    this.#sendWeights(weights);
    if (this.#owedNodes === 0) {
      this.#orderedMs = this.#clock.now();
      this.#computedMs = 0;
      this.time.ordered(this.#orderedMs);
    }
    this.#owedNodes += ranges.length;
    const message = { type: 'compute', step: weights.step, ranges } as const;
    this.send(this.tellsTimes ? { ...message, timed: true } : message);
  }

  /** Sends weights that it will most likely be asked to compute with; not to one that is busy, which would drop its work. */
  sendAhead(weights: WeightsFrame): void {
    if (!this.isBusy) this.#sendWeights(weights);
  }

  /** Asks for the time of its clock, by a ping. */
  askTime(): void {
    this.#socket.ping(clockQuestion(this.#clock.now()));
  }

  /** Whether it is still busy with an earlier step, which others have finished. */
  owesBefore(step: number): boolean {
    return this.#owedNodes > 0 && this.#weightsStep < step;
  }

  /** Asks for a part of a split to be evaluated; sends the weights before that, if this worker has others. */
  evaluate(weights: WeightsFrame, part: Shard): void {
    this.#sendWeights(weights);
    this.#heldShards.add(part.sha256);
    if (this.#owedParts === 0) this.time.ordered(this.#clock.now());
    this.#owedParts++;
    this.send({ type: 'evaluate', step: weights.step, split: part.split, index: part.index });
  }

  /** Asks for a shard to be fetched when nothing else is to be done. */
  prefetch(sha256: string): void {
    this.send({ type: 'prefetch', sha256 });
  }

  /** Whether this worker has a shard, or was asked to evaluate it and so will have it. */
  holds(sha256: string): boolean {
    return this.#heldShards.has(sha256);
  }

  /** Says goodbye and closes; resolves when the connection is closed, by force if the worker does not answer. */
  async goodbye(reason: string): Promise<void> {
    if (this.#socket.readyState === this.#socket.CLOSED) return;
    const closed = new Promise<void>((resolve) => this.#socket.once('close', () => resolve()));
    this.send({ type: 'goodbye', reason: reason.slice(0, 2000) });
    this.#closeReason ??= reason;
    this.#close(closeCodes.goodbye);
    await closed;
  }

  /** Tells the worker why it is no longer wanted, and closes. */
  dismiss(code: RefusalCode, message: string): void {
    this.#closeReason ??= message;
    this.#isDismissed = true;
    this.send({ type: 'refusal', code, message: message.slice(0, 2000) });
    this.#close(closeCodes.refused);
  }

  /** By force if the worker does not answer. */
  #close(code: number): void {
    const stopTimer = this.#clock.after(goodbyeTimeoutMs, () => this.#socket.terminate());
    this.#socket.once('close', stopTimer);
    this.#socket.close(code);
  }

  /** Closes at once: nothing is to be expected from the other end. */
  terminate(reason: string): void {
    this.#closeReason ??= reason;
    this.#socket.terminate();
  }

  #sendWeights(weights: WeightsFrame): void {
    if (this.#weightsStep === weights.step) return;
    this.#weightsStep = weights.step;
    // With other weights it drops what it has not begun.
    this.#owedNodes = 0;
    this.#owedParts = 0;
    this.#sendFrame(weights.message);
  }

  #sendFrame(frame: Buffer, sent?: (error?: Error) => void): void {
    this.#bytesSent += frame.length;
    this.#socket.send(frame, sent);
  }

  #receive(data: RawData): void {
    // What was on its way when it was sent away.
    if (this.#isDismissed) return;
    try {
      // ws hands out a Buffer under its default binary type.
      const bytes = data as Buffer;
      this.#bytesReceived += bytes.length;
      const { header, payload } = decodeFrame(bytes);
      const message = parseWorkerMessage(header);
      switch (message.type) {
        case 'shard-request':
          return this.#sendShard(message.sha256, message.offset, message.bytes);
        case 'leave':
          this.#closeReason ??= `left: ${message.reason}`;
          return;
        case 'shard-held':
          if (!this.#shardRecords.has(message.sha256)) throw notAsked(`it has shard ${message.sha256.slice(0, 12)}`);
          this.#heldShards.add(message.sha256);
          break;
        case 'gradient':
          this.#assertAskedStep(message.step);
          this.#assertTrueCounts(message);
          this.#measure(message);
          break;
        case 'evaluation':
          this.#assertAskedStep(message.step);
          this.#countPart(message);
          break;
        case 'timing':
          this.#assertAskedStep(message.step);
          break;
        case 'hello':
        case 'failure':
          break;
        default:
          message satisfies never;
      }
      this.#handlers.onMessage(message, payload);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.dismiss('bad-message', messageOf(error));
      this.#handlers.onBroken?.(messageOf(error));
    }
  }

  /** An answer may come late, when others have finished its step, but not before it was asked for. */
  #assertAskedStep(step: number): void {
    if (step > this.#weightsStep) throw notAsked(`it answers step ${step}`);
  }

  /** The sum is divided by the number of images, so that a false one would scale the whole step's gradient. */
  #assertTrueCounts({ range, sampleCount, slices }: GradientMessage): void {
    const images = range.count * this.#imagesPerSlice;
    if (sampleCount !== images) {
      throw new ProtocolError(
        `a gradient over ${describeRange(range)} is of ${images} images, a worker says ${sampleCount}`,
      );
    }
    const tooMany = slices.findIndex(({ correctCount }) => correctCount > this.#imagesPerSlice);
    if (tooMany < 0) return;
    throw new ProtocolError(
      `slice ${range.first + tooMany} has ${this.#imagesPerSlice} images, a worker says that ${slices[tooMany].correctCount} were right`,
    );
  }

  /** Answers that come too late to count tell of a worker's speed as well. */
  #measure({ step, sampleCount, phases }: GradientMessage): void {
    const computedMs = phases.augmentMs + phases.computeMs + phases.reduceMs;
    this.speed.computed(sampleCount, computedMs);
    if (step !== this.#weightsStep || this.#owedNodes === 0) return;
    this.#computedMs += computedMs;
    this.#owedNodes--;
    if (this.#owedNodes > 0) return;
    const now = this.#clock.now();
    this.speed.waited(Math.max(0, now - this.#orderedMs - this.#computedMs));
    this.time.answered(now, this.#computedMs);
  }

  /** An answer of some bytes to a request of some bytes: the way takes no time beside the images. */
  #countPart({ step }: EvaluationMessage): void {
    if (step !== this.#weightsStep || this.#owedParts === 0) return;
    this.#owedParts--;
    if (this.#owedParts === 0) this.time.answered(this.#clock.now(), Infinity);
  }

  /**
   * Sends a shard chunk by chunk, each when the one before has left, so that a slow worker fills no memory here. Requests
   * take turns.
   */
  #sendShard(sha256: string, offset: number, bytes: number): void {
    const records = this.#shardRecords.get(sha256);
    const end = offset + bytes;
    if (records === undefined || end > records.length) {
      throw new ProtocolError(`a worker asked for byte ${end} of shard ${sha256.slice(0, 12)}, which is not there`);
    }
    // Of each shard a prefetched chunk may be under way when the rest is asked for.
    if (this.#requests.length > 2 * this.#shardRecords.size) {
      throw new ProtocolError(`a worker waits for ${this.#requests.length} shards already and asks for another`);
    }
    this.#requests.push({ sha256, records, next: offset, end });
    if (this.#requests.length === 1) this.#sendChunk();
  }

  #sendChunk(): void {
    const [request] = this.#requests;
    if (request === undefined) return;
    const { sha256, records, next, end } = request;
    const chunk = records.subarray(next, Math.min(end, next + chunkBytes));
    const header: CoordinatorMessage = { type: 'shard-chunk', sha256, offset: next };
    this.#sendFrame(encodeFrame(header, chunk), (error) => {
      if (error) return;
      this.#requests.shift();
      request.next += chunk.length;
      if (request.next < end) this.#requests.push(request);
      this.#sendChunk();
    });
  }
}

function notAsked(what: string): ProtocolError {
  return new ProtocolError(`a worker says that ${what}, which it was not asked about`);
}

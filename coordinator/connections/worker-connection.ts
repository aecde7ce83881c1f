// The connection of one admitted worker: sends messages, receives and parses messages, monitors heartbeats, and closes
// the connection. Answers shard requests itself; passes everything else to the handlers.
import type { RawData, WebSocket } from 'ws';
import { messageOf, ProtocolError } from '../../shared/errors.js';
import { closeCodes } from '../../shared/protocol/close-codes.js';
import { describeOffers, type EngineIdentity } from '../../shared/protocol/engine-identity.js';
import { decodeFrame, encodeFrame } from '../../shared/protocol/frame.js';
import { HeartbeatExchange } from '../../shared/protocol/heartbeats/exchange.js';
import {
  parseWorkerMessage,
  type CoordinatorMessage,
  type FailureMessage,
  type GradientMessage,
  type HeartbeatReplyMessage,
  type RefusalCode,
  type Shard,
} from '../../shared/protocol/messages.js';
import type { SliceRange } from '../../shared/reduction/slices.js';
import { Traffic } from '../scheduling/traffic.js';
import { WorkerLoad, type WorkerView } from '../scheduling/worker-load.js';
import type { ConnectionHandlers, ConnectionSettings } from './connection-handlers.js';
import { WorkerEngines } from './engines/worker-engines.js';
import { assertContributions, assertGradientCounts } from './gradient-counts.js';
import type { JoiningWorker } from './handshake.js';
import { RelayedWorkers, type RelayedMessage } from './relays/relayed-workers.js';
import { ShardSender } from './shard-sender.js';
import type { StepWeights, WeightsKind } from './step-weights.js';

/**
 * Maximum number of bytes waiting to be read by the worker, in addition to the weights of two steps. A worker that reads
 * at all never falls this far behind.
 */
const maxUnreadBytes = 64 * 1024 * 1024;
/** Time after which a connection that the worker has not closed is terminated. */
const closeTimeoutMs = 3_000;

export class WorkerConnection implements WorkerView {
  readonly id: number;
  readonly name: string;
  /** Host and port of the other end, for display. */
  readonly address: string;
  /** Id of the join link that the worker joined with; undefined if it presented another token or none. */
  readonly linkId: string | undefined;
  /** The workers that compute behind this relay; undefined if this is an ordinary worker. */
  readonly relayed: RelayedWorkers | undefined;
  /** What an ordinary worker offers. */
  readonly engines: WorkerEngines;
  readonly load = new WorkerLoad();
  readonly joinedAt = new Date();
  /** Whether compute() also requests a timing for each partial sum. */
  isTimed = false;
  /** Step of the weights of each kind that were last sent to the worker; -1 if none have been sent. */
  readonly #weightsSteps = { own: -1, published: -1 };
  #longestFrameBytes = 0;
  readonly #traffic = new Traffic();
  #isSamplingClock = false;
  #engine: EngineIdentity | undefined;
  /** Last step whose answers were cancelled; -1 if there is none. */
  #cancelledStep = -1;
  /** Why the worker's engine cannot compute the network, if it has said so. */
  networkProblem: string | undefined;
  #closeReason: string | undefined;
  #isDismissed = false;
  readonly #socket: WebSocket;
  readonly #settings: ConnectionSettings;
  readonly #handlers: ConnectionHandlers;
  readonly #reportFailure: JoiningWorker['failed'];
  readonly #shards: ShardSender;
  readonly #heartbeats: HeartbeatExchange;

  /** @param nextId returns an ID that no other worker has */
  constructor(
    nextId: () => number,
    joining: JoiningWorker,
    settings: ConnectionSettings,
    handlers: ConnectionHandlers,
  ) {
    const { socket, transport, hello, holder, address, failed } = joining;
    const { clock, heartbeatIntervalMs, heartbeatTimeoutMs } = settings;
    this.id = nextId();
    this.name = hello.name;
    this.address = address;
    this.linkId = holder?.link?.id;
    this.relayed = hello.relay !== undefined ? new RelayedWorkers(nextId) : undefined;
    this.engines = new WorkerEngines(hello.engines);
    this.#socket = socket;
    this.#settings = settings;
    this.#handlers = handlers;
    this.#reportFailure = failed;
    this.#shards = new ShardSender(settings.shardRecords, hello.cachedShards, {
      send: (frame, onSent) => this.#sendFrame(frame, onSent),
      failed: (message) => this.terminate(`cannot be sent a shard: ${message}`),
    });
    this.#heartbeats = new HeartbeatExchange(
      {
        send: (frame) => {
          this.#traffic.sample(clock.now());
          this.#sendFrame(frame);
        },
        queuedBytes: () => socket.bufferedAmount,
        onSilent: (timeoutMs) => this.terminate(`silent for more than ${timeoutMs / 1000} s`),
        onReply: (reply) => this.#replied(reply),
      },
      clock,
    );
    this.#heartbeats.start({ intervalMs: heartbeatIntervalMs, timeoutMs: heartbeatTimeoutMs });
    // Any received bytes count as a heartbeat, not only complete messages: over a slow link, one gradient may take
    // longer than the timeout, and heartbeats are queued after it.
    transport.on('data', () => this.#heartbeats.heard());
    socket.on('message', (data) => this.#receive(data));
    // ws answers each ping with a pong, which stays in memory until the other end reads it.
    socket.on('ping', () => this.#checkUnread());
    socket.on('error', (error) => {
      this.#closeReason ??= error.message;
      failed(error.message);
    });
    socket.on('close', (code) => {
      this.#heartbeats.stop();
      handlers.onClosed(this.#closeReason ?? `connection closed (${code})`);
    });
  }

  /** Number of workers that compute at the other end of the connection: 1, or the workers behind a relay. */
  get parallelism(): number {
    return this.relayed?.size ?? 1;
  }

  /** Engines that the worker offers, in its order of preference, or those that the workers behind a relay offer. */
  get offers(): readonly EngineIdentity[] {
    return this.relayed?.offers ?? this.engines.offers;
  }

  /** The engine that the worker uses; undefined until the coordinator has chosen it. */
  get engine(): EngineIdentity | undefined {
    return this.#engine;
  }

  /** Describes the worker's engine or, until it has been chosen, the engines that the worker offers. */
  get engineDescription(): EngineIdentity {
    if (this.#engine !== undefined) return this.#engine;
    return this.relayed?.description ?? describeOffers(this.offers);
  }

  get bytesSent(): number {
    return this.#traffic.bytesSent;
  }

  get bytesReceived(): number {
    return this.#traffic.bytesReceived;
  }

  /** Bytes sent to and received from the worker per second, over the last seconds. */
  get bytesPerSecond(): { sent: number; received: number } {
    return this.#traffic.perSecond(this.#settings.clock.now());
  }

  /** Milliseconds since the last bytes arrived. */
  get silentMs(): number {
    return this.#heartbeats.silentMs;
  }

  get heldShards(): ReadonlySet<string> {
    return this.#shards.held;
  }

  send(message: CoordinatorMessage, ...payload: Uint8Array[]): void {
    this.#sendFrame(encodeFrame(message, ...payload));
  }

  /** Requests the probes of these engines, which the worker offers. */
  probe(engines: readonly EngineIdentity[]): void {
    for (const { fingerprint } of engines) {
      this.engines.probeRequested(fingerprint);
      this.send({ type: 'probe', fingerprint });
    }
  }

  /** Requests the speed of these engines, which the worker offers. */
  measure(fingerprints: string[]): void {
    this.engines.measurementRequested();
    this.send({ type: 'measure', fingerprints });
  }

  /** Makes the worker use this engine, which it offers. Called once, before any other request for work. */
  useEngine(engine: EngineIdentity): void {
    this.#engine = engine;
    this.send({ type: 'use-engine', fingerprint: engine.fingerprint });
  }

  /** Requests the partial sums over these ranges; sends the step's weights first if the worker does not have them. */
  compute(weights: StepWeights, ranges: SliceRange[]): void {
    this.#sendWeights(weights, weights.trainingKind);
    this.load.rangesAssigned(ranges.length, this.#settings.clock.now());
    const message = { type: 'compute', step: weights.step, ranges } as const;
    this.send(this.isTimed ? { ...message, timed: true } : message);
  }

  /** Requests the evaluation of a shard; sends the weights first if the worker does not have them. */
  evaluate(weights: StepWeights, shard: Shard): void {
    this.#sendWeights(weights, 'own');
    this.#shards.markHeld(shard.sha256);
    this.load.evaluationAssigned(this.#settings.clock.now());
    this.send({ type: 'evaluate', step: weights.step, split: shard.split, index: shard.index });
  }

  /**
   * Sends weights that the worker will most likely need next. Does nothing if the worker is busy, because new weights
   * would make it drop its work.
   */
  sendAhead(weights: StepWeights): void {
    if (!this.load.isBusy) this.#sendWeights(weights, weights.trainingKind);
  }

  /** Tells the worker that its answers to a step are no longer needed, unless it has been told. */
  cancel(step: number): void {
    if (this.#cancelledStep >= step) return;
    this.#cancelledStep = step;
    this.send({ type: 'cancel', step });
  }

  /** Asks the worker to fetch a shard when it has nothing else to do. */
  prefetch(sha256: string): void {
    this.send({ type: 'prefetch', sha256 });
  }

  /** Requests the time on the worker's clock, which is passed to `onClockSample`. */
  sampleClock(): void {
    this.#isSamplingClock = true;
    this.#heartbeats.sendHeartbeat();
  }

  /**
   * Sends a goodbye and closes the connection; resolves when it is closed. Terminates it if the worker does not
   * respond.
   */
  async goodbye(reason: string): Promise<void> {
    if (this.#socket.readyState === this.#socket.CLOSED) return;
    const closed = new Promise<void>((resolve) => this.#socket.once('close', () => resolve()));
    this.send({ type: 'goodbye', reason: reason.slice(0, 2000) });
    this.#closeReason ??= reason;
    this.#close(closeCodes.goodbye);
    await closed;
  }

  /** Disconnects the worker and tells it why. */
  dismiss(code: RefusalCode, message: string): void {
    this.#closeReason ??= message;
    this.#isDismissed = true;
    this.send({ type: 'refusal', code, message: message.slice(0, 2000) });
    this.#close(closeCodes.refused);
  }

  /** Closes the connection immediately, without a closing handshake. */
  terminate(reason: string): void {
    this.#closeReason ??= reason;
    this.#socket.terminate();
  }

  /** Closes the connection; terminates it if the worker does not respond. */
  #close(code: number): void {
    const stopTimer = this.#settings.clock.after(closeTimeoutMs, () => this.#socket.terminate());
    this.#socket.once('close', stopTimer);
    this.#socket.close(code);
  }

  #sendWeights(weights: StepWeights, kind: WeightsKind): void {
    const { step } = weights;
    if (this.#weightsSteps[kind] === step) return;
    const frame = weights.frameFor(kind, this.#weightsSteps[kind]);
    this.#weightsSteps[kind] = step;
    this.load.weightsSent(step);
    frame.pendingSends++;
    this.#sendFrame(frame.message, () => frame.pendingSends--);
  }

  #replied({ sentMs, repliedMs }: HeartbeatReplyMessage): void {
    // Every heartbeat is answered, but only timelines need the time.
    if (!this.#isSamplingClock) return;
    this.#isSamplingClock = false;
    this.#handlers.onClockSample(this, { sentMs, repliedMs, returnedMs: this.#settings.clock.now() });
  }

  #sendFrame(frame: Uint8Array, onSent?: (error?: Error) => void): void {
    this.#traffic.sent(frame.length);
    this.#longestFrameBytes = Math.max(this.#longestFrameBytes, frame.length);
    this.#socket.send(frame, onSent);
  }

  /** Disconnects a worker that sends but does not read, so that what it was sent stays in memory. */
  #checkUnread(): void {
    const limit = maxUnreadBytes + 2 * this.#longestFrameBytes;
    if (this.#socket.bufferedAmount > limit) this.terminate('sends but does not read');
  }

  #receive(data: RawData): void {
    // These messages were already in transit when the worker was dismissed.
    if (this.#isDismissed) return;
    try {
      // With its default binary type, ws passes a Buffer.
      this.#handle(data as Buffer);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.dismiss('bad-message', messageOf(error));
      this.#reportFailure(messageOf(error));
    }
    this.#handlers.onHandled(data as Buffer);
  }

  #handle(bytes: Buffer): void {
    this.#traffic.received(bytes.length);
    if (this.#heartbeats.receive(bytes)) return this.#checkUnread();
    const { header, payload } = decodeFrame(bytes);
    const message = parseWorkerMessage(header);
    switch (message.type) {
      case 'gradient':
        this.#checkGradient(message);
        return this.#handlers.onAnswer(message, payload);
      case 'evaluation':
        this.#checkStep(message);
        this.load.evaluationAnswered(message.step, this.#settings.clock.now());
        return this.#handlers.onAnswer(message, payload);
      case 'cancelled':
        if (message.step !== this.#cancelledStep) throw new ProtocolError('a worker cancelled a step by itself');
        return this.load.cancelled(message.step);
      case 'probe-result':
        return this.engines.probed(message) ? this.#handlers.onProbed() : undefined;
      case 'measurement':
        return this.#handlers.onMeasured(this.engines.speedsIn(message, this.relayed !== undefined));
      case 'timing': {
        this.#checkStep(message);
        const { type: _type, ...timing } = message;
        return this.#handlers.onTiming({ id: this.id, name: this.name }, timing);
      }
      case 'shard-request':
        return this.#shards.request(message.sha256, message.offset, message.bytes);
      case 'shard-held':
        this.#shards.markHeld(message.sha256);
        return this.#handlers.onShardHeld();
      case 'leave':
        this.#closeReason ??= `left: ${message.reason}`;
        return;
      case 'failure':
        return this.fail(message);
      case 'relayed-worker':
      case 'relayed-worker-left':
      case 'relayed-worker-unable':
      case 'relayed-status':
      case 'relayed-timing':
        return this.#handleRelayed(message);
      case 'hello':
        throw new ProtocolError('a worker sent a second hello');
      case 'heartbeat':
      case 'heartbeat-reply':
        // The valid ones have been handled above.
        throw new ProtocolError(`a worker sent a ${message.type} with a payload, or a long header`);
      default:
        message satisfies never;
    }
  }

  /** Throws ProtocolError unless this is a relay, which alone sends such a message. */
  #relayedOf({ type }: { type: string }): RelayedWorkers {
    if (this.relayed === undefined) throw new ProtocolError(`a worker that is not a relay sent a ${type}`);
    return this.relayed;
  }

  #handleRelayed(message: RelayedMessage): void {
    if (message.type === 'relayed-timing') this.#checkStep(message.timing);
    const notify = this.#relayedOf(message).handle(message, this.#handlers);
    this.load.speed.parallelism = Math.max(1, this.parallelism);
    notify();
  }

  /** Disconnects the worker, because its engine has failed. */
  fail({ code, message }: Pick<FailureMessage, 'code' | 'message'>): void {
    if (code === 'bad-config') this.networkProblem = message;
    const what = code === 'bad-config' ? 'the engine cannot compute this network' : 'engine failed';
    this.dismiss('engine-failed', `${what}: ${message}`);
  }

  /**
   * Rejects an answer to a step whose weights have not been sent to the worker. A late answer, to a step that other
   * workers have finished, is valid.
   */
  #checkStep({ step }: { step: number }): void {
    if (step <= this.load.weightsStep) return;
    throw new ProtocolError(`a worker answered step ${step}, which it had not been assigned`);
  }

  #checkGradient(message: GradientMessage): void {
    this.#checkStep(message);
    const { step, sampleCount, phases } = message;
    assertContributions(message, this.relayed !== undefined);
    const { imagesPerSlice, clock } = this.#settings;
    assertGradientCounts(message, imagesPerSlice(step));
    const computeMs = phases.augmentMs + phases.computeMs + phases.reduceMs;
    this.load.rangeAnswered(step, sampleCount, computeMs, clock.now());
  }
}

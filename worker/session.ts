// One connection to a coordinator, from hello to goodbye, as a state machine. run-work.ts does the actual work.
import { isDeviceLost, LockstepError, messageOf, ProtocolError } from '../shared/errors.js';
import { closeCodes } from '../shared/protocol/close-codes.js';
import type { EngineIdentity } from '../shared/protocol/engine-identity.js';
import { decodeFrame, encodeFrame } from '../shared/protocol/frame.js';
import {
  maxCachedShards,
  parseCoordinatorMessage,
  protocolVersion,
  type ComputeMessage,
  type CoordinatorMessage,
  type EvaluateMessage,
  type Hello,
  type PublishedWeightsMessage,
  type WeightsDifferenceMessage,
  type Welcome,
  type WorkerMessage,
} from '../shared/protocol/messages.js';
import { lockstepVersion } from '../shared/version.js';
import type { WorkerProgress } from '../shared/worker/events.js';
import { failureOf } from './connection/failure-report.js';
import type { CoordinatorLink, OpenLink } from './connection/coordinator-link.js';
import type { ModelSpec } from './device-models.js';
import { readWelcome } from './welcome.js';
import type { ShardClient } from './shards/shard-client.js';

/** What a worker says about itself in its hello. */
export type WorkerIdentity = Pick<Hello, 'name' | 'token' | 'engines' | 'cachedShards' | 'relay'>;

/** Work for one run on one connection: computing, or passing on what the coordinator asks for. */
export interface SessionWork {
  readonly shards: ShardClient;
  readonly maxMessageBytes: number;
  probe(fingerprint: string): void;
  measure(fingerprints: string[]): void;
  useEngine(fingerprint: string): void;
  /** @param frame the whole message, of which the payload is a part */
  receiveWeights(step: number, payload: Uint8Array, frame: Uint8Array): void;
  receivePublished(message: PublishedWeightsMessage, payload: Uint8Array, frame: Uint8Array): void;
  receiveDifference(message: WeightsDifferenceMessage, payload: Uint8Array, frame: Uint8Array): void;
  compute(request: ComputeMessage): void;
  /** The coordinator no longer needs the answers to a step. */
  cancel(step: number): void;
  evaluate(request: EvaluateMessage): void;
  /** Called when the connection has closed. Resolves when all work has ended. */
  abandon(): Promise<void>;
}

/** A run that a session has joined. */
export interface JoinedRun {
  welcome: Welcome;
  /** Payload of the welcome. */
  payload: Uint8Array;
  spec: ModelSpec;
}

/** What work does to the session that it belongs to. */
export interface WorkControls {
  /** Ends the session because of an error. */
  fail: (error: unknown) => void;
  /** Leaves the run, and joins it again. */
  rejoin: (reason: string) => void;
}

export type StartWork = (
  run: JoinedRun,
  link: CoordinatorLink,
  handlers: SessionHandlers,
  controls: WorkControls,
) => SessionWork;

export interface SessionHandlers {
  /** @param network name of the network */
  onWelcome: (welcome: Welcome, network: string) => void;
  /** Called when the coordinator has chosen the engine. */
  onEngine: (engine: EngineIdentity) => void;
  /** Called after each partial sum. */
  onProgress: (progress: WorkerProgress) => void;
}

/** How a session ended. */
export type SessionEnd =
  /** The coordinator refused this worker, or either side said goodbye. */
  | (CoordinatorMessage & { type: 'refusal' | 'goodbye' })
  /** The connection was lost. `isFinal` is true if reconnecting cannot help. */
  | { type: 'lost'; reason: string; isFinal: boolean }
  /** This worker failed, for example because of an error in its engine. */
  | { type: 'failed'; error: LockstepError };

type State =
  /** Connecting, then waiting for the answer to the hello. */
  | { phase: 'joining' }
  | { phase: 'working'; work: SessionWork }
  /** The coordinator violated the protocol; waiting for the connection to close. */
  | { phase: 'closing'; reason: string }
  /** The outcome of the session is decided; the connection is closing or closed. */
  | { phase: 'ended'; end: SessionEnd };

export class WorkerSession {
  /** Resolves when the connection has closed and all work has ended, so that the next session can use the model. */
  readonly ended: Promise<SessionEnd>;
  readonly #identify: () => Promise<WorkerIdentity>;
  readonly #startWork: StartWork;
  readonly #handlers: SessionHandlers;
  #link!: CoordinatorLink;
  #state: State = { phase: 'joining' };
  #workAbandoned = Promise.resolve();

  constructor(
    identify: () => Promise<WorkerIdentity>,
    openLink: OpenLink,
    startWork: StartWork,
    handlers: SessionHandlers,
  ) {
    this.#identify = identify;
    this.#startWork = startWork;
    this.#handlers = handlers;
    this.ended = new Promise((resolve) => {
      this.#link = openLink({
        onOpen: () => void this.#sendHello(),
        onMessage: (message) => this.#receive(message),
        onClosed: (reason, isFinal) => resolve(this.#finish(reason, isFinal)),
      });
    });
  }

  /** Leaves the run and closes the connection. The coordinator reassigns the work. */
  stop(reason: string): void {
    this.#leave(reason, { type: 'goodbye', reason });
  }

  #leave(reason: string, end: SessionEnd): void {
    if (this.#state.phase === 'ended') return;
    this.#send({ type: 'leave', reason });
    this.#end(end);
  }

  async #sendHello(): Promise<void> {
    try {
      const identity = await this.#identify();
      const cachedShards = identity.cachedShards.slice(0, maxCachedShards);
      this.#send({ type: 'hello', protocolVersion, lockstepVersion, ...identity, cachedShards });
    } catch (error) {
      this.#fail(error);
    }
  }

  #receive(bytes: Uint8Array): void {
    const state = this.#state;
    try {
      switch (state.phase) {
        case 'joining':
          return this.#join(...decode(bytes));
        case 'working':
          if (bytes.length > state.work.maxMessageBytes) {
            throw new ProtocolError(`a message of ${bytes.length} bytes is too long for this model`);
          }
          return this.#work(state.work, bytes, ...decode(bytes));
        case 'closing':
        case 'ended':
          return;
        default:
          state satisfies never;
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Handles the answer to the hello. */
  #join(message: CoordinatorMessage, payload: Uint8Array): void {
    if (message.type === 'welcome') this.#begin(message, payload);
    else if (message.type === 'refusal' || message.type === 'goodbye') this.#end(message);
    else throw new ProtocolError(`${message.type} arrived before the welcome`);
  }

  #begin(welcome: Welcome, payload: Uint8Array): void {
    const { heartbeatInterval, heartbeatTimeout } = welcome.config;
    const spec = readWelcome(welcome, payload);
    const work = this.#startWork({ welcome, payload, spec }, this.#link, this.#handlers, {
      fail: (error) => this.#fail(error),
      rejoin: (reason) => this.#leave(reason, { type: 'lost', reason, isFinal: false }),
    });
    this.#enter({ phase: 'working', work });
    this.#link.startHeartbeat({
      intervalMs: 1000 * heartbeatInterval,
      timeoutMs: 1000 * heartbeatTimeout,
      maxMessageBytes: work.maxMessageBytes,
    });
    this.#handlers.onWelcome(welcome, spec.layout.graph.name);
  }

  #work(work: SessionWork, bytes: Uint8Array, message: CoordinatorMessage, payload: Uint8Array): void {
    switch (message.type) {
      case 'probe':
        return work.probe(message.fingerprint);
      case 'measure':
        return work.measure(message.fingerprints);
      case 'use-engine':
        return work.useEngine(message.fingerprint);
      case 'weights':
        return work.receiveWeights(message.step, payload, bytes);
      case 'published-weights':
        return work.receivePublished(message, payload, bytes);
      case 'weights-difference':
        return work.receiveDifference(message, payload, bytes);
      case 'compute':
        return work.compute(message);
      case 'cancel':
        return work.cancel(message.step);
      case 'evaluate':
        return work.evaluate(message);
      case 'shard-chunk':
        return work.shards.receive(message.sha256, message.offset, payload);
      case 'prefetch':
        return void work.shards.prefetch(message.sha256).catch((error: unknown) => this.#fail(error));
      case 'refusal':
      case 'goodbye':
        return this.#end(message);
      case 'welcome':
        throw new ProtocolError('a second welcome arrived');
      case 'heartbeat':
      case 'heartbeat-reply':
        // The connection handles the valid ones.
        throw new ProtocolError(`the coordinator sent a ${message.type} with a payload, or a long header`);
      default:
        message satisfies never;
    }
  }

  #send(message: WorkerMessage): void {
    this.#link.send(encodeFrame(message));
  }

  /**
   * Ends the session because of an error. A ProtocolError means that the coordinator violated the protocol; any other
   * error is this worker's failure and is reported to the coordinator.
   */
  #fail(error: unknown): void {
    const { phase } = this.#state;
    if (phase === 'ended') return;
    if (error instanceof ProtocolError) {
      if (phase === 'closing') return;
      this.#enter({ phase: 'closing', reason: error.message });
      this.#link.close(closeCodes.refused);
      return;
    }
    const message = messageOf(error);
    if (isDeviceLost(error)) return this.#leave(message, { type: 'lost', reason: message, isFinal: false });
    this.#send({ type: 'failure', ...failureOf(error) });
    const isExpected = error instanceof LockstepError;
    this.#end({
      type: 'failed',
      error: isExpected ? error : new LockstepError('engine-failed', message, { cause: error }),
    });
  }

  #end(end: SessionEnd): void {
    if (this.#state.phase === 'ended') return;
    this.#enter({ phase: 'ended', end });
    this.#link.close(closeCodes.goodbye);
  }

  /** Ends the session after the connection has closed. Resolves when all work has ended. */
  async #finish(reason: string, isFinal: boolean): Promise<SessionEnd> {
    const state = this.#state;
    const lost = { type: 'lost', reason: state.phase === 'closing' ? state.reason : reason, isFinal } as const;
    const end = state.phase === 'ended' ? state.end : lost;
    this.#enter({ phase: 'ended', end });
    await this.#workAbandoned;
    return end;
  }

  #enter(state: State): void {
    if (this.#state.phase === 'working') this.#workAbandoned = this.#state.work.abandon();
    this.#state = state;
  }
}

function decode(bytes: Uint8Array): [message: CoordinatorMessage, payload: Uint8Array] {
  const { header, payload } = decodeFrame(bytes);
  return [parseCoordinatorMessage(header), payload];
}

// One connection to a coordinator, from hello to goodbye: the protocol as a state machine. The work itself is in run-work.ts.
import { LockstepError, messageOf, ProtocolError } from '../shared/errors.js';
import { closeCodes } from '../shared/protocol/close-codes.js';
import { decodeFrame, encodeFrame } from '../shared/protocol/frame.js';
import {
  maxCachedShards,
  parseCoordinatorMessage,
  protocolVersion,
  type CoordinatorMessage,
  type Hello,
  type RefusalCode,
  type Welcome,
  type WorkerMessage,
} from '../shared/protocol/messages.js';
import { lockstepVersion } from '../shared/version.js';
import type { CoordinatorLink, OpenLink } from './connection/coordinator-link.js';
import type { DeviceModel } from './device-model.js';
import { RunWork, type RunWorkHandlers } from './run-work.js';
import type { ShardCaches } from './shards/shard-client.js';
import { readWelcome } from './welcome.js';

/** How a worker introduces itself. */
export type WorkerIdentity = Pick<Hello, 'name' | 'token' | 'engine'>;

export interface SessionHandlers {
  onWelcome: (welcome: Welcome) => void;
  onProgress: RunWorkHandlers['onProgress'];
}

/** How a connection ended. */
export type SessionEnd =
  | { kind: 'goodbye'; reason: string }
  | { kind: 'refused'; code: RefusalCode; message: string }
  /** `isFinal` if reconnecting cannot help. */
  | { kind: 'lost'; reason: string; isFinal: boolean }
  /** This worker's engine failed. */
  | { kind: 'failed'; error: LockstepError }
  | { kind: 'stopped' };

type State =
  /** Connecting, then waiting for the answer to the hello. */
  | { phase: 'joining' }
  | { phase: 'working'; work: RunWork }
  /** The coordinator violated the protocol; waiting for the connection to close. */
  | { phase: 'closing'; reason: string }
  | { phase: 'ended' };

export class WorkerSession {
  readonly ended: Promise<SessionEnd>;
  readonly #identity: WorkerIdentity;
  readonly #device: DeviceModel;
  readonly #caches: ShardCaches;
  readonly #handlers: SessionHandlers;
  readonly #link: CoordinatorLink;
  readonly #linkClosed: Promise<void>;
  #resolveEnded!: (end: SessionEnd) => void;
  #state: State = { phase: 'joining' };
  #workAbandoned = Promise.resolve();

  constructor(
    identity: WorkerIdentity,
    openLink: OpenLink,
    device: DeviceModel,
    caches: ShardCaches,
    handlers: SessionHandlers,
  ) {
    this.#identity = identity;
    this.#device = device;
    this.#caches = caches;
    this.#handlers = handlers;
    this.ended = new Promise((resolve) => (this.#resolveEnded = resolve));
    let resolveClosed: () => void;
    this.#linkClosed = new Promise((resolve) => (resolveClosed = resolve));
    this.#link = openLink({
      onOpen: () => void this.#sendHello(),
      onMessage: (message) => this.#receive(message),
      onClosed: (reason, isFinal) => {
        resolveClosed();
        const lostReason = this.#state.phase === 'closing' ? this.#state.reason : reason;
        this.#end({ kind: 'lost', reason: lostReason, isFinal });
      },
    });
  }

  /** Resolves when the connection is closed and nothing runs any more: the next session may use the model. */
  async idle(): Promise<void> {
    await this.#linkClosed;
    await this.#workAbandoned;
  }

  /** Says goodbye and closes the connection. The coordinator reassigns the work. */
  stop(reason: string): void {
    if (this.#state.phase === 'ended') return;
    this.#send({ type: 'leave', reason });
    this.#end({ kind: 'stopped' });
  }

  async #sendHello(): Promise<void> {
    const { memory, disk } = this.#caches;
    try {
      const hashes = new Set([...memory.hashes, ...(await disk.list())]);
      const cachedShards = [...hashes].slice(0, maxCachedShards);
      this.#send({ type: 'hello', protocolVersion, lockstepVersion, ...this.#identity, cachedShards });
    } catch (error) {
      this.#fail(error);
    }
  }

  #receive(bytes: Uint8Array): void {
    try {
      switch (this.#state.phase) {
        case 'joining': {
          const { header, payload } = decodeFrame(bytes);
          return this.#join(parseCoordinatorMessage(header), payload);
        }
        case 'working': {
          const { work } = this.#state;
          if (bytes.length > work.maxMessageBytes) {
            throw new ProtocolError(`a message of ${bytes.length} bytes is too long for this model`);
          }
          const { header, payload } = decodeFrame(bytes);
          return this.#work(work, parseCoordinatorMessage(header), payload);
        }
        case 'closing':
        case 'ended':
          return;
        default:
          this.#state satisfies never;
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Handles the answer to the hello. */
  #join(message: CoordinatorMessage, payload: Uint8Array): void {
    if (message.type === 'welcome') this.#startWork(message, payload);
    else if (message.type === 'refusal' || message.type === 'goodbye') this.#endAs(message);
    else throw new ProtocolError(`${message.type} arrived before the welcome`);
  }

  #startWork(welcome: Welcome, payload: Uint8Array): void {
    const { layout, preprocessing } = readWelcome(welcome, payload);
    const { labelSmoothing, heartbeatInterval, heartbeatTimeout } = welcome.config;
    const loading = this.#device.load(layout, preprocessing, labelSmoothing);
    const work = new RunWork(welcome, layout, loading, this.#caches, this.#link, {
      onProgress: this.#handlers.onProgress,
      onFailure: (error) => this.#fail(error),
    });
    this.#enter({ phase: 'working', work });
    this.#link.startHeartbeat({ intervalMs: 1000 * heartbeatInterval, timeoutMs: 1000 * heartbeatTimeout });
    this.#handlers.onWelcome(welcome);
  }

  #work(work: RunWork, message: CoordinatorMessage, payload: Uint8Array): void {
    switch (message.type) {
      case 'weights':
        return work.receiveWeights(message.step, payload);
      case 'compute':
        return work.compute(message);
      case 'evaluate':
        return work.evaluate(message);
      case 'shard-chunk':
        return work.shards.receive(message.sha256, message.offset, payload);
      case 'prefetch':
        return void work.shards.prefetch(message.sha256).catch((error: unknown) => this.#fail(error));
      case 'refusal':
      case 'goodbye':
        return this.#endAs(message);
      case 'welcome':
        throw new ProtocolError('a second welcome arrived');
      default:
        message satisfies never;
    }
  }

  #endAs(message: CoordinatorMessage & { type: 'refusal' | 'goodbye' }): void {
    if (message.type === 'goodbye') this.#end({ kind: 'goodbye', reason: message.reason });
    else this.#end({ kind: 'refused', code: message.code, message: message.message });
  }

  #send(message: WorkerMessage): void {
    this.#link.send(encodeFrame(message));
  }

  /** A protocol violation ends the connection. Any other error is this worker's own failure, which it reports. */
  #fail(error: unknown): void {
    const { phase } = this.#state;
    if (phase === 'ended') return;
    if (error instanceof ProtocolError) {
      if (phase === 'closing') return;
      this.#enter({ phase: 'closing', reason: error.message });
      this.#link.close(closeCodes.refused);
      return;
    }
    this.#send({ type: 'failure', message: messageOf(error).slice(0, 2000) });
    const isExpected = error instanceof LockstepError;
    const failure = isExpected ? error : new LockstepError('engine-failed', messageOf(error), { cause: error });
    this.#end({ kind: 'failed', error: failure });
  }

  #end(end: SessionEnd): void {
    if (this.#state.phase === 'ended') return;
    this.#enter({ phase: 'ended' });
    this.#link.close(closeCodes.goodbye);
    this.#resolveEnded(end);
  }

  #enter(state: State): void {
    if (this.#state.phase === 'working') this.#workAbandoned = this.#state.work.abandon();
    this.#state = state;
  }
}

// The currently connected workers. Code that drives the work listens here for joins, departures and answers because it
// needs live connections and payloads, which run events do not carry.
import { LockstepError } from '../../shared/errors.js';
import { MessageMemory } from '../../shared/protocol/message-memory.js';
import { ownMemoryOf } from '../../shared/protocol/own-memory.js';
import type { JoiningWorker } from './handshake.js';
import type { RelayedWorker, UnableWorker } from './relays/relayed-workers.js';
import type { AnswerMessage, ConnectionHandlers, ConnectionSettings } from './connection-handlers.js';
import { WorkerConnection } from './worker-connection.js';

export interface PoolListener {
  joined?: (worker: WorkerConnection) => void;
  left?: (worker: WorkerConnection, reason: string) => void;
  /** Called when a worker that has not joined yet has answered the probes of its engines. */
  probed?: (worker: WorkerConnection) => void;
  /** Called when a worker has left before it joined. */
  leftProbing?: (worker: WorkerConnection, reason: string) => void;
  /** Called for each answer. If it throws ProtocolError, the worker is disconnected. */
  answered?: (worker: WorkerConnection, message: AnswerMessage, payload: Uint8Array) => void;
  /** Called with the speeds of the worker's engines in images per second, by fingerprint. */
  measured?: (worker: WorkerConnection, speeds: ReadonlyMap<string, number>) => void;
  /** Called when a worker has received a shard. */
  shardHeld?: (worker: WorkerConnection) => void;
  /** Called when a relay has connected. It joins, like a worker, with the first worker that computes behind it. */
  relayConnected?: (relay: WorkerConnection) => void;
  /** Called when the connection of a relay has closed. */
  relayDisconnected?: (relay: WorkerConnection, reason: string) => void;
  relayedJoined?: (worker: RelayedWorker, relay: WorkerConnection) => void;
  relayedLeft?: (worker: RelayedWorker, relay: WorkerConnection, reason: string) => void;
  /** Called when a worker has not joined a relay, because its engine cannot compute the network. */
  relayedUnable?: (worker: UnableWorker) => void;
  /** Called when a worker behind a relay has been told which engine to use. */
  relayedEngine?: (worker: RelayedWorker, relay: WorkerConnection) => void;
}

/** An array that may be part of a message. */
export type MessageArray = Pick<Uint8Array, 'buffer' | 'byteOffset' | 'byteLength'>;

export class WorkerPool {
  /** All connections, including those of relays without workers and of workers whose engines are being probed. */
  readonly #connections = new Map<number, WorkerConnection>();
  readonly #workers = new Map<number, WorkerConnection>();
  readonly #listeners = new Set<PoolListener>();
  readonly #memory = new MessageMemory();
  /** Memory of the large messages that have been handled and may still be needed. */
  readonly #handledMemory = new Set<ArrayBuffer>();
  /** Memory of the message that is being handled, if it is no longer needed. */
  readonly #unneededMemory = new Set<ArrayBuffer>();
  #lastId = 0;

  /** Connected workers, and relays with workers, in the order in which they joined. */
  get workers(): readonly WorkerConnection[] {
    return [...this.#workers.values()];
  }

  /** Connected workers and relays, including relays without workers and workers whose engines are being probed. */
  get connections(): readonly WorkerConnection[] {
    return [...this.#connections.values()];
  }

  /** Number of workers that compute, including those behind relays. */
  get size(): number {
    return this.workers.reduce((sum, { parallelism }) => sum + parallelism, 0);
  }

  /** Total bytes sent to and received from the connected workers. */
  get bytes(): { sent: number; received: number } {
    const sum = (key: 'bytesSent' | 'bytesReceived') =>
      this.connections.reduce((bytes, worker) => bytes + worker[key], 0);
    return { sent: sum('bytesSent'), received: sum('bytesReceived') };
  }

  get(id: number): WorkerConnection | undefined {
    return this.#workers.get(id);
  }

  /** Returns the workers that joined with a join link. @param linkId id of the link */
  workersOf(linkId: string): WorkerConnection[] {
    return this.connections.filter((worker) => worker.linkId === linkId);
  }

  /** @returns a function that removes the listener */
  listen(listener: PoolListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Takes over the connection of a joining worker. The worker is not part of the pool until add() is called. */
  connect(
    joining: JoiningWorker,
    settings: ConnectionSettings,
    onTiming: ConnectionHandlers['onTiming'] = () => undefined,
    onClockSample: ConnectionHandlers['onClockSample'] = () => undefined,
  ): WorkerConnection {
    const worker: WorkerConnection = new WorkerConnection(() => ++this.#lastId, joining, settings, {
      onTiming,
      onClockSample,
      onAnswer: (message, payload) => {
        for (const listener of this.#listeners) listener.answered?.(worker, message, payload);
      },
      onProbed: () => {
        for (const listener of this.#listeners) listener.probed?.(worker);
      },
      onMeasured: (speeds) => {
        for (const listener of this.#listeners) listener.measured?.(worker, speeds);
      },
      onShardHeld: () => {
        for (const listener of this.#listeners) listener.shardHeld?.(worker);
      },
      onRelayed: (relayed, isNew) => {
        if (!this.#workers.has(worker.id)) this.#join(worker);
        for (const listener of this.#listeners) {
          if (isNew) listener.relayedJoined?.(relayed, worker);
          if (relayed.engine !== undefined) listener.relayedEngine?.(relayed, worker);
        }
      },
      onRelayedLeft: (relayed, reason) => {
        for (const listener of this.#listeners) listener.relayedLeft?.(relayed, worker, reason);
        if (worker.parallelism === 0) this.#leave(worker, 'no worker computes behind this relay');
      },
      onRelayedUnable: (unable) => {
        for (const listener of this.#listeners) listener.relayedUnable?.(unable);
      },
      onHandled: (message) => {
        const memory = ownMemoryOf(message);
        if (memory !== undefined) {
          if (this.#unneededMemory.has(memory)) this.#memory.giveBack(memory);
          else this.#handledMemory.add(memory);
        }
        this.#unneededMemory.clear();
      },
      onClosed: (reason) => this.remove(worker, reason),
    });
    joining.gatherInto((bytes) => this.#memory.take(bytes));
    return worker;
  }

  /**
   * Lets later messages use the memory of the answers received so far. Call it when nothing refers to their payloads
   * anymore.
   */
  reuseAnswers(): void {
    this.#memory.giveBack(...this.#handledMemory);
    this.#handledMemory.clear();
  }

  /**
   * Does the same for single answers, so that a step with many answers does not keep all of them in memory.
   * @param arrays parts of answers, one of which may still be being handled
   */
  reuseAnswer(arrays: readonly MessageArray[]): void {
    for (const { buffer, byteOffset, byteLength } of arrays) {
      const memory = ownMemoryOf(new Uint8Array(buffer, byteOffset, byteLength));
      if (memory === undefined) continue;
      if (this.#handledMemory.delete(memory)) this.#memory.giveBack(memory);
      else this.#unneededMemory.add(memory);
    }
  }

  /** Adds a worker whose engines are being probed. It joins when add() is called. */
  addProbing(worker: WorkerConnection): void {
    this.#connections.set(worker.id, worker);
  }

  add(worker: WorkerConnection): void {
    this.#connections.set(worker.id, worker);
    if (worker.relayed === undefined) this.#join(worker);
    else for (const listener of this.#listeners) listener.relayConnected?.(worker);
  }

  remove(worker: WorkerConnection, reason: string): void {
    if (!this.#connections.delete(worker.id)) return;
    if (worker.relayed === undefined && !this.#workers.has(worker.id)) {
      for (const listener of this.#listeners) listener.leftProbing?.(worker, reason);
    }
    this.#leave(worker, reason);
    if (worker.relayed === undefined) return;
    for (const listener of this.#listeners) {
      for (const relayed of worker.relayed.all) listener.relayedLeft?.(relayed, worker, reason);
      listener.relayDisconnected?.(worker, reason);
    }
  }

  #join(worker: WorkerConnection): void {
    this.#workers.set(worker.id, worker);
    for (const listener of this.#listeners) listener.joined?.(worker);
  }

  #leave(worker: WorkerConnection, reason: string): void {
    if (!this.#workers.delete(worker.id)) return;
    for (const listener of this.#listeners) listener.left?.(worker, reason);
  }
}

/**
 * Returns the error that ends a stopped run: the signal's reason if that is a LockstepError, `interrupted` otherwise.
 */
export function interruption(signal: AbortSignal): LockstepError {
  return signal.reason instanceof LockstepError
    ? signal.reason
    : new LockstepError('interrupted', 'the run was interrupted');
}

// The workers that compute behind one relay, as the relay reports them.
import { ProtocolError } from '../../../shared/errors.js';
import type { EngineIdentity } from '../../../shared/protocol/engine-identity.js';
import type { PartialSumTiming } from '../../../shared/protocol/message-fields.js';
import type {
  RelayedStatusMessage,
  RelayedTimingMessage,
  RelayedWorkerLeftMessage,
  RelayedWorkerMessage,
  RelayedWorkerUnableMessage,
} from '../../../shared/protocol/relay-messages.js';

/** Maximum number of workers behind one relay, which limits the memory that a relay can occupy. */
const maxRelayedWorkers = 4096;

/** A worker that computes behind a relay. */
export interface RelayedWorker {
  /** Unique among all workers of the run. */
  readonly id: number;
  readonly name: string;
  /** Host and port of the worker's end of its connection to the relay. */
  readonly address: string;
  readonly offers: readonly EngineIdentity[];
  /** The engine that the worker uses; undefined until it has been chosen. */
  readonly engine: EngineIdentity | undefined;
  readonly joinedAt: Date;
  /** What the relay last reported; undefined before the first report. */
  readonly status?: RelayedStatus | undefined;
  /** Why the worker's engine cannot compute the network; undefined unless it has left for this reason. */
  readonly networkProblem?: string | undefined;
}

/** A worker that has not joined, because its engine cannot compute the network. */
export type UnableWorker = Omit<RelayedWorkerUnableMessage, 'type'>;

export type RelayedStatus = Omit<RelayedStatusMessage['workers'][number], 'id'>;

/** A message about a worker behind a relay, or about several. */
export type RelayedMessage =
  | RelayedWorkerMessage
  | RelayedWorkerLeftMessage
  | RelayedWorkerUnableMessage
  | RelayedStatusMessage
  | RelayedTimingMessage;

/** A worker that reports timings. */
export interface TimedWorker {
  id: number;
  name: string;
  /**
   * Only for a worker behind a relay: when the relay assigned it the work and got the answer. These times and those of the
   * timing are by the relay's clock.
   */
  relayed?: { assignedMs: number; arrivedMs: number } | undefined;
}

export interface RelayedHandlers {
  /** Called when a relay has reported a worker for the first time, or the engine of a worker. */
  onRelayed: (worker: RelayedWorker, isNew: boolean) => void;
  onRelayedLeft: (worker: RelayedWorker, reason: string) => void;
  /** Called when a worker has not joined a relay, because its engine cannot compute the network. */
  onRelayedUnable: (worker: UnableWorker) => void;
  /** Called with the timing of a partial sum. */
  onTiming: (worker: TimedWorker, timing: PartialSumTiming) => void;
}

export class RelayedWorkers {
  /** Workers by the ID that the relay has given them. */
  readonly #workers = new Map<number, RelayedWorker>();
  readonly #nextId: () => number;

  /** @param nextId returns an ID that no other worker of the run has */
  constructor(nextId: () => number) {
    this.#nextId = nextId;
  }

  get size(): number {
    return this.#workers.size;
  }

  get all(): readonly RelayedWorker[] {
    return [...this.#workers.values()];
  }

  /** The engines that at least one of the workers offers. */
  get offers(): EngineIdentity[] {
    const byFingerprint = new Map(this.all.flatMap(({ offers }) => offers.map((offer) => [offer.fingerprint, offer])));
    return [...byFingerprint.values()];
  }

  /** Describes the relay in place of an engine. */
  get description(): EngineIdentity {
    const fingerprint = this.offers.map((offer) => offer.fingerprint).join(' or ');
    return { engine: 'relay', fingerprint, device: this.size === 1 ? '1 worker' : `${this.size} workers` };
  }

  /** Returns the number of workers that offer an engine. */
  countOffering(fingerprint: string): number {
    return this.all.filter(({ offers }) => offers.some((offer) => offer.fingerprint === fingerprint)).length;
  }

  /**
   * Applies a relay's message. Throws ProtocolError if it contradicts earlier ones.
   * @returns a function that calls the handler
   */
  handle(message: RelayedMessage, handlers: RelayedHandlers): () => void {
    switch (message.type) {
      case 'relayed-worker': {
        const isNew = !this.#workers.has(message.id);
        const worker = this.#report(message);
        return () => handlers.onRelayed(worker, isNew);
      }
      case 'relayed-worker-left': {
        const worker = this.#left(message);
        return () => handlers.onRelayedLeft(worker, message.reason);
      }
      case 'relayed-worker-unable':
        return () => handlers.onRelayedUnable(message);
      case 'relayed-status':
        this.#update(message);
        return () => undefined;
      case 'relayed-timing': {
        const { assignedMs, arrivedMs, timing } = message;
        const worker = this.#workers.get(message.id);
        // A worker may have left after it had answered.
        if (worker === undefined) return () => undefined;
        const { id, name } = worker;
        return () => handlers.onTiming({ id, name, relayed: { assignedMs, arrivedMs } }, timing);
      }
      default:
        return message satisfies never;
    }
  }

  /** Notes what the workers are doing. Workers that have left meanwhile are ignored. */
  #update({ workers }: RelayedStatusMessage): void {
    for (const { id, ...status } of workers) {
      const worker = this.#workers.get(id);
      if (worker !== undefined) this.#workers.set(id, { ...worker, status });
    }
  }

  /** Adds a worker, or updates its engine. */
  #report({ id, name, address, engines, fingerprint }: RelayedWorkerMessage): RelayedWorker {
    const known = this.#workers.get(id);
    if (known === undefined && this.size >= maxRelayedWorkers) {
      throw new ProtocolError(`a relay reports more than ${maxRelayedWorkers} workers`);
    }
    const engine = engines.find((offer) => offer.fingerprint === fingerprint);
    if (engine === undefined && fingerprint !== null) {
      throw new ProtocolError(`a relay reports that ${name} uses ${fingerprint}, which it does not offer`);
    }
    const { id: ownId, joinedAt, status } = known ?? { id: this.#nextId(), joinedAt: new Date(), status: undefined };
    const worker = { id: ownId, name, address, offers: engines, engine, joinedAt, status };
    this.#workers.set(id, worker);
    return worker;
  }

  #left({ id, networkProblem }: RelayedWorkerLeftMessage): RelayedWorker {
    const worker = this.#workers.get(id);
    if (worker === undefined) throw new ProtocolError(`a relay reports that worker ${id} left, which never joined`);
    this.#workers.delete(id);
    return { ...worker, networkProblem };
  }
}

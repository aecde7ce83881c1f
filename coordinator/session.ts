// A coordinator session, for a training run or an evaluation: opens the port, admits workers, publishes events when
// workers join or leave, and disconnects them at the end.
import { randomUUID } from 'node:crypto';
import type { Clock } from '../shared/clock.js';
import { totalStepsOf, workerConfigOf, type Config } from '../shared/config/config.js';
import { measuredArraysOf } from '../shared/dataset/measured-preprocessing.js';
import { LockstepError, messageOf } from '../shared/errors.js';
import { encodeGraph } from '../shared/network/graph-json.js';
import { layoutHash, littleEndianBytes } from '../shared/network/layout-hash.js';
import type { ModelLayout } from '../shared/network/layout.js';
import { roundEndOf } from '../shared/optimizer/rounds.js';
import { maxWorkerMessageBytes, type Welcome } from '../shared/protocol/messages.js';
import type { AccessPolicy } from './connections/access-policy.js';
import { connectionLimitsFor } from './connections/connection-limiter.js';
import type { Deferral, JoiningWorker, Refusal } from './connections/handshake.js';
import { isLoopback } from './connections/http/http-access.js';
import { startServer, type CoordinatorServer, type ServedStatus } from './connections/server.js';
import type { ConnectionSettings, WorkerConnection } from './connections/worker-connection.js';
import { WorkerPool } from './connections/worker-pool.js';
import type { ShardStore } from './dataset/shard-store.js';
import { RunEngine } from './engine/run-engine.js';
import type { RunEventBus } from './run/run-event-bus.js';

/**
 * Returns the maximum number of workers. A step can use at most one worker per slice, and some spares are useful; more
 * workers would only cost memory.
 */
function maxWorkersFor(slices: number): number {
  return Math.max(256, 16 * slices);
}

/** The parts of a run or an evaluation that a session needs to serve its workers. */
export interface SessionSetup {
  config: Config;
  layout: ModelLayout;
  store: Pick<ShardStore, 'shards' | 'records' | 'preprocessing' | 'stepsPerEpoch' | 'dataset'>;
}

export interface SessionOptions {
  kind: 'run' | 'evaluation';
  /** Time that workers have to finish the current step after stop() before they are disconnected. */
  stopGraceMs: number;
}

export class CoordinatorSession {
  readonly id = randomUUID();
  readonly pool = new WorkerPool();
  readonly engine: RunEngine;
  readonly #setup: SessionSetup;
  readonly #access: AccessPolicy;
  readonly #events: RunEventBus;
  readonly #clock: Clock;
  readonly #options: SessionOptions;
  readonly #connectionSettings: ConnectionSettings;
  /** The network as JSON, which each welcome contains. */
  readonly #graph: Uint8Array;
  readonly #abort = new AbortController();
  #server: CoordinatorServer | undefined;
  #isEnded = false;
  #endGrace: () => void = () => undefined;

  constructor(setup: SessionSetup, access: AccessPolicy, events: RunEventBus, clock: Clock, options: SessionOptions) {
    const { config, layout, store } = setup;
    const length = { totalSteps: totalStepsOf(config, store.stepsPerEpoch), stepsPerEpoch: store.stepsPerEpoch };
    this.#setup = setup;
    this.#graph = encodeGraph(layout.graph);
    this.#access = access;
    this.#events = events;
    this.#clock = clock;
    this.#options = options;
    this.engine = new RunEngine(config);
    this.#connectionSettings = {
      shardRecords: store.records,
      imagesPerSlice: (step) => (roundEndOf(step, config, length) - step) * (config.batchSize / config.slices),
      heartbeatIntervalMs: 1000 * config.heartbeatInterval,
      heartbeatTimeoutMs: 1000 * config.heartbeatTimeout,
      clock,
    };
  }

  /** Signal that stop() aborts. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Whether as many workers are connected as the run can use. */
  get isFull(): boolean {
    return this.pool.size >= maxWorkersFor(this.#setup.config.slices);
  }

  /** Whether the session admits no more workers. */
  get hasEnded(): boolean {
    return this.#isEnded || this.signal.aborted;
  }

  /** Opens the port. Throws `port-in-use` and `bad-address`. */
  async listen(served: ServedStatus): Promise<void> {
    const { layout, config } = this.#setup;
    this.#server = await startServer({
      access: this.#access,
      admission: {
        maxMessageBytes: maxWorkerMessageBytes(layout, config.slices, config.encoding),
        isFull: () => this.isFull,
        admit: (worker) => this.#admit(worker),
      },
      served,
      clock: this.#clock,
      limits: connectionLimitsFor(config.slices),
      onAccess: (message) => this.#publishAccess(message),
    });
  }

  get host(): string {
    return this.#access.host;
  }

  /** The port that the session listens on. Throws if listen() has not been called. */
  get port(): number {
    if (this.#server === undefined) throw new Error('the session is not listening yet');
    return this.#server.port;
  }

  /** URL for workers on this machine. */
  get url(): string {
    const scheme = this.#access.tls === undefined ? 'ws' : 'wss';
    const host = isLoopback(this.host) ? this.host.replace('::1', '[::1]') : '127.0.0.1';
    return `${scheme}://${host}:${this.port}`;
  }

  /** Aborts the signal; disconnects the workers if the session's work does not end within the grace period. */
  stop(reason = new LockstepError('interrupted', `the ${this.#options.kind} was interrupted`)): void {
    if (this.signal.aborted || this.#isEnded) return;
    const dismissAll = () => {
      for (const worker of this.pool.workers) void worker.goodbye(reason.message);
    };
    const { stopGraceMs } = this.#options;
    if (stopGraceMs > 0) this.#endGrace = this.#clock.after(stopGraceMs, dismissAll);
    this.#abort.abort(reason);
    if (stopGraceMs === 0) dismissAll();
  }

  /**
   * Publishes an event for each connected worker, then for each worker that joins or leaves until the session ends. Stops
   * the session when the last worker leaves because its engine cannot compute the network.
   * @param isUntried returns whether no worker has computed anything yet
   */
  announceWorkers(isUntried: () => boolean = () => true): void {
    for (const worker of this.pool.workers) this.#announce(worker);
    this.pool.listen({
      joined: (worker) => this.#announce(worker),
      left: (worker, reason) => {
        // Workers that are disconnected at the end of the session are not lost.
        if (this.#isEnded) return;
        const { id, name, address, bytesSent, bytesReceived, networkProblem } = worker;
        const workers = this.pool.size;
        this.#events.publish({ type: 'worker-lost', id, name, address, reason, bytesSent, bytesReceived, workers });
        if (networkProblem === undefined || workers > 0 || !isUntried()) return;
        const problem = `no worker can compute this network with its engine; ${name}: ${networkProblem}`;
        this.stop(new LockstepError('bad-config', problem));
      },
    });
  }

  /** Runs the session's work, then disconnects the workers and closes the port, whether or not the work succeeded. */
  async run<Result>(work: () => Promise<Result>): Promise<Result> {
    let goodbye = `the ${this.#options.kind} has ended`;
    // Lets the caller of startCoordinator or startEvaluation subscribe before the first event.
    await new Promise((resolve) => setImmediate(resolve));
    const stopWatching = this.#access.watch(this.#clock, (message) => this.#publishAccess(message));
    try {
      const certificateProblem = this.#access.tls?.certificateProblem;
      if (certificateProblem !== undefined) this.#publishAccess(certificateProblem);
      return await work();
    } catch (error) {
      goodbye = messageOf(error);
      throw error;
    } finally {
      this.#isEnded = true;
      this.#endGrace();
      stopWatching();
      await Promise.all(this.pool.workers.map((worker) => worker.goodbye(goodbye)));
      await this.close();
    }
  }

  /** Closes the port. Workers that have not been sent a goodbye will try to reconnect. */
  async close(): Promise<void> {
    this.#isEnded = true;
    await this.#server?.close();
  }

  #admit(joining: JoiningWorker): Refusal | Deferral | undefined {
    const { engines } = joining.hello;
    const link = joining.holder?.link;
    if (this.hasEnded) return { code: 'finished', message: `the ${this.#options.kind} has ended` };
    if (link !== undefined && this.pool.workersOf(link.id).length >= link.maxWorkers) {
      return { tryAgainLater: `as many workers are connected by the join link as it allows (${link.maxWorkers})` };
    }
    const refusal = this.engine.refusalOf(engines, link !== undefined);
    if (refusal !== undefined) return refusal;
    const worker = this.pool.connect(
      joining,
      this.#connectionSettings,
      ({ id, name }, timing) => this.#events.publish({ type: 'worker-timing', worker: { id, name }, timing }),
      ({ id, name }, sample) =>
        this.#events.publish({
          type: 'clock-sample',
          worker: { id, name },
          sample: { ...sample, receivedMs: sample.repliedMs },
        }),
    );
    worker.send(this.#welcome(worker.id), ...this.#measuredPreprocessing(), this.#graph);
    // Different engines give almost the same results, so an evaluation uses the first one offered without measuring it.
    if (this.#options.kind === 'evaluation' && this.engine.fingerprint === null) {
      this.engine.choose(engines[0].fingerprint);
    }
    const engine = this.engine.engineFor(engines);
    if (engine !== undefined) worker.useEngine(engine);
    this.pool.add(worker);
    return undefined;
  }

  /** Tells the connected workers which engine has been chosen, and dismisses those that may not stay without it. */
  assignEngines(): void {
    for (const worker of this.pool.workers) {
      const refusal = this.engine.refusalOf(worker.offers, worker.linkId !== undefined);
      const engine = this.engine.engineFor(worker.offers);
      if (refusal !== undefined) {
        worker.dismiss(refusal.code, refusal.message);
      } else if (engine !== undefined) {
        worker.useEngine(engine);
        this.#announceEngine(worker);
      }
    }
  }

  #welcome(workerId: number): Welcome {
    const { config, layout, store } = this.#setup;
    return {
      type: 'welcome',
      workerId,
      runId: this.id,
      networkBytes: this.#graph.length,
      layoutHash: layoutHash(layout),
      config: workerConfigOf(config),
      dataset: store.dataset,
      stepsPerEpoch: store.stepsPerEpoch,
      shards: [...store.shards],
    };
  }

  #measuredPreprocessing(): Uint8Array[] {
    const { preprocessing, dataset } = this.#setup.store;
    return measuredArraysOf(preprocessing, dataset).map(({ values }) => littleEndianBytes(values));
  }

  #announce(worker: WorkerConnection): void {
    const { id, name, address, engineDescription } = worker;
    const workers = this.pool.size;
    this.#events.publish({ type: 'worker-joined', id, name, address, ...engineDescription, workers });
    this.#announceEngine(worker);
  }

  /** Publishes which engine a worker uses, once that is known. */
  #announceEngine({ id, name, engine }: WorkerConnection): void {
    if (engine === undefined) return;
    this.#events.publish({ type: 'engine-assigned', id, name, ...engine });
    const expected = this.engine.fingerprint;
    if (expected === null || expected === engine.fingerprint) return;
    this.#events.publish({ type: 'inexact', name, fingerprint: engine.fingerprint, expected });
  }

  #publishAccess(message: string): void {
    // Connections that have not completed the handshake when the session ends are not reported as refused.
    if (!this.#isEnded) this.#events.publish({ type: 'access', message });
  }
}

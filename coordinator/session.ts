// A coordinator session, for a training run, an evaluation or a relay: opens the port, admits workers, publishes events when
// workers join or leave, and disconnects them at the end.
import { randomUUID } from 'node:crypto';
import type { Clock } from '../shared/clock.js';
import { totalStepsOf } from '../shared/config/config.js';
import { LockstepError, messageOf } from '../shared/errors.js';
import { roundEndOf } from '../shared/optimizer/rounds.js';
import { describeOffers, type EngineIdentity } from '../shared/protocol/engine-identity.js';
import { compareFingerprints } from '../shared/protocol/engines/probed-fingerprint.js';
import { maxWorkerMessageBytes, type Welcome } from '../shared/protocol/messages.js';
import type { AccessPolicy } from './connections/access-policy.js';
import { connectionLimitsFor } from './connections/connection-limiter.js';
import type { Deferral, JoiningWorker, Refusal } from './connections/handshake.js';
import { isLoopback } from './connections/http/http-access.js';
import type { RelayedWorker } from './connections/relays/relayed-workers.js';
import { startServer, type CoordinatorServer, type ServedStatus } from './connections/server.js';
import type { ConnectionSettings } from './connections/connection-handlers.js';
import type { WorkerConnection } from './connections/worker-connection.js';
import { forbidden, mayDo } from './connections/tokens.js';
import { WorkerPool } from './connections/worker-pool.js';
import { RunEngine } from './engine/run-engine.js';
import type { RunEventBus } from './run/run-event-bus.js';
import type { SessionSetup } from './session-setup.js';

/**
 * Returns the maximum number of workers. A step can use at most one worker per slice, and some spares are useful; more
 * workers would only cost memory.
 */
function maxWorkersFor(slices: number): number {
  return Math.max(256, 16 * slices);
}

/** A link limits its number of workers, and a relay would bring several. */
const linkAdmitsNoRelay: Refusal = {
  code: 'relay',
  message: 'the token of a join link admits a single worker: omit --workers and --gpus, or use a worker token',
  isFailure: false,
};

export interface SessionOptions {
  kind: 'run' | 'evaluation' | 'relay';
  /** ID of the run; a random one by default. */
  id?: string | undefined;
  /** Time that workers have to finish the current step after stop() before they are disconnected. */
  stopGraceMs: () => number;
}

export class CoordinatorSession {
  readonly id: string;
  readonly pool = new WorkerPool();
  readonly engine: RunEngine;
  readonly #setup: SessionSetup;
  readonly #access: AccessPolicy;
  readonly #events: RunEventBus;
  readonly #clock: Clock;
  readonly #options: SessionOptions;
  readonly #connectionSettings: ConnectionSettings;
  readonly #abort = new AbortController();
  #server: CoordinatorServer | undefined;
  #isEnded = false;
  #endGrace: () => void = () => undefined;

  constructor(setup: SessionSetup, access: AccessPolicy, events: RunEventBus, clock: Clock, options: SessionOptions) {
    const { config, records, welcome } = setup;
    const { stepsPerEpoch } = welcome;
    const length = { totalSteps: totalStepsOf(config, stepsPerEpoch), stepsPerEpoch };
    this.id = options.id ?? randomUUID();
    this.#setup = setup;
    this.#access = access;
    this.#events = events;
    this.#clock = clock;
    this.#options = options;
    this.engine = new RunEngine(setup.engine);
    this.#connectionSettings = {
      shardRecords: records,
      imagesPerSlice: (step) => (roundEndOf(step, config, length) - step) * (config.batchSize / config.slices),
      heartbeatIntervalMs: 1000 * config.heartbeatInterval,
      heartbeatTimeoutMs: 1000 * config.heartbeatTimeout,
      clock,
    };
    this.pool.listen({
      probed: (worker) => this.#admitProbed(worker),
      leftProbing: (worker, reason) => this.#publishLeftEarly(worker, reason),
    });
  }

  /** Signal that stop() aborts. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Whether as many workers are connected as the run can use. */
  get isFull(): boolean {
    const { size, connections } = this.pool;
    return Math.max(size, connections.length) >= maxWorkersFor(this.#setup.config.slices);
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
      for (const worker of this.pool.connections) void worker.goodbye(reason.message);
    };
    const stopGraceMs = this.#options.stopGraceMs();
    if (stopGraceMs > 0) this.#endGrace = this.#clock.after(stopGraceMs, dismissAll);
    this.#abort.abort(reason);
    if (stopGraceMs === 0) dismissAll();
  }

  /**
   * Publishes an event for each connected worker and relay, then for each that joins or leaves until the session ends. Stops
   * the session when the last worker leaves because its engine cannot compute the network.
   * @param isUntried returns whether no worker has computed anything yet
   */
  announceWorkers(isUntried: () => boolean = () => true): void {
    for (const worker of this.pool.connections) {
      if (worker.relayed !== undefined) this.#announceRelay(worker);
      else if (this.pool.get(worker.id) !== undefined) this.#announce(worker);
    }
    this.pool.listen({
      joined: (worker) => {
        if (worker.relayed === undefined) this.#announce(worker);
      },
      relayConnected: (relay) => this.#announceRelay(relay),
      relayedJoined: (worker, relay) => this.#announceRelayed(worker, relay),
      relayedEngine: ({ id, name, engine }) => this.#announceEngine({ id, name, engine }),
      relayedLeft: (worker, relay, reason) => {
        if (this.#isEnded) return;
        const { id, name, address } = worker;
        const workers = this.pool.size;
        const bytes = { bytesSent: 0, bytesReceived: 0 };
        this.#events.publish({ type: 'worker-lost', id, name, address, reason, ...bytes, relay: relay.name, workers });
        this.#stopIfUnable(worker, isUntried);
      },
      relayDisconnected: ({ id, name, address, bytesSent, bytesReceived }, reason) => {
        if (this.#isEnded) return;
        this.#events.publish({ type: 'relay-lost', id, name, address, reason, bytesSent, bytesReceived });
      },
      left: (worker, reason) => {
        // Workers that are disconnected at the end of the session are not lost.
        if (this.#isEnded || worker.relayed !== undefined) return;
        const { id, name, address, bytesSent, bytesReceived } = worker;
        const workers = this.pool.size;
        this.#events.publish({ type: 'worker-lost', id, name, address, reason, bytesSent, bytesReceived, workers });
        this.#stopIfUnable(worker, isUntried);
      },
      leftProbing: (worker) => {
        if (!this.#isEnded) this.#stopIfUnable(worker, isUntried);
      },
      relayedUnable: (worker) => {
        if (this.#isEnded) return;
        this.#publishLeftEarly(worker, worker.reason);
        this.#stopIfUnable(worker, isUntried);
      },
    });
  }

  /** Stops the session if the last worker has left because its engine cannot compute the network. */
  #stopIfUnable(
    { name, networkProblem }: { name: string; networkProblem?: string | undefined },
    isUntried: () => boolean,
  ): void {
    if (networkProblem === undefined || this.pool.size > 0 || !isUntried()) return;
    const problem = `no worker can compute this network with its engine; ${name}: ${networkProblem}`;
    this.stop(new LockstepError('bad-config', problem));
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
      await Promise.all(this.pool.connections.map((worker) => worker.goodbye(goodbye)));
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
    const isRelay = joining.hello.relay !== undefined;
    const refusal = isRelay ? this.#refusalOfRelay(joining) : this.engine.refusalOf(engines, link !== undefined);
    if (refusal !== undefined) return refusal;
    const worker = this.pool.connect(
      joining,
      this.#connectionSettings,
      ({ id, name, relayed }, timing) =>
        this.#events.publish({ type: 'worker-timing', worker: { id, name }, timing, relayed }),
      ({ id, name }, sample) =>
        this.#events.publish({
          type: 'clock-sample',
          worker: { id, name },
          sample: { ...sample, receivedMs: sample.repliedMs },
        }),
    );
    worker.send(this.#welcome(worker.id, isRelay), ...this.#setup.welcomePayload);
    // An evaluation needs no probes: engines give almost the same results.
    const needingProbe = isRelay || this.#options.kind === 'evaluation' ? [] : this.engine.needingProbe(engines);
    if (needingProbe.length > 0) {
      worker.probe(needingProbe);
      this.pool.addProbing(worker);
      return undefined;
    }
    if (!isRelay) {
      this.#chooseFirst(engines);
      this.#assignEngine(worker);
    }
    this.pool.add(worker);
    return undefined;
  }

  /** Admits a worker that has computed the probes of its engines, or refuses it. */
  #admitProbed(worker: WorkerConnection): void {
    if (this.hasEnded) return worker.dismiss('finished', `the ${this.#options.kind} has ended`);
    const { offers, engines } = worker;
    const canCompute = offers.some((offer) => this.engine.allows(offer));
    if (!canCompute && engines.probeFailure !== undefined) return worker.fail(engines.probeFailure);
    const refusal = this.engine.refusalOf(offers, worker.linkId !== undefined);
    if (refusal !== undefined) return worker.dismiss(refusal.code, refusal.message);
    this.#assignEngine(worker);
    this.pool.add(worker);
  }

  /** Tells a worker which engine to use, if the run has chosen one. */
  #assignEngine(worker: WorkerConnection): void {
    const engine = this.engine.engineFor(worker.offers);
    if (engine !== undefined) worker.useEngine(engine);
  }

  /** Chooses the engine of an evaluation: the first one offered. Engines give almost the same results. */
  #chooseFirst([first]: readonly EngineIdentity[]): void {
    if (this.#options.kind !== 'evaluation' || this.engine.fingerprint !== null) return;
    this.engine.choose(first.fingerprint);
    this.assignEngines();
  }

  #refusalOfRelay({ hello, holder }: JoiningWorker): Refusal | undefined {
    if (this.#setup.relays === undefined) {
      return {
        code: 'relay',
        message: 'this is a relay, and relays connect only to a coordinator: give the URL of the coordinator',
      };
    }
    if (holder === undefined || mayDo(holder.role, 'relay')) return undefined;
    if (hello.relay === 'host') return holder.link === undefined ? undefined : linkAdmitsNoRelay;
    return { code: 'token', message: `${forbidden(holder, 'relay')}: use a relay token`, isFailure: false };
  }

  /** Tells the connected workers which engine has been chosen, and dismisses those that may not stay without it. */
  assignEngines(): void {
    const { fingerprint } = this.engine;
    for (const worker of this.pool.connections) {
      // A relay applies the rules to its own workers.
      if (worker.relayed !== undefined) {
        if (fingerprint !== null) worker.send({ type: 'use-engine', fingerprint });
        continue;
      }
      // It is told when it has answered its probes.
      if (this.pool.get(worker.id) === undefined) continue;
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

  #welcome(workerId: number, isRelay: boolean): Welcome {
    const { welcome, relays, engine } = this.#setup;
    const common = { ...welcome, workerId, runId: this.id };
    if (!isRelay || relays === undefined) return common;
    const { stragglerFactor, replicas } = relays;
    const { engine: name, exact } = engine;
    const { fingerprint } = this.engine;
    return { ...common, relay: { engine: name, fingerprint, exact, stragglerFactor, replicas } };
  }

  #announce(worker: WorkerConnection): void {
    const { id, name, address, engineDescription } = worker;
    const workers = this.pool.size;
    this.#events.publish({ type: 'worker-joined', id, name, address, ...engineDescription, workers });
    this.#announceEngine(worker);
  }

  #announceRelay(relay: WorkerConnection): void {
    const { id, name, address } = relay;
    this.#events.publish({ type: 'relay-joined', id, name, address });
    for (const worker of relay.relayed?.all ?? []) {
      this.#announceRelayed(worker, relay);
      this.#announceEngine(worker);
    }
  }

  #announceRelayed({ id, name, address, offers }: RelayedWorker, relay: WorkerConnection): void {
    this.#chooseFirst(offers);
    const workers = this.pool.size;
    const description = describeOffers(offers);
    this.#events.publish({ type: 'worker-joined', id, name, address, ...description, relay: relay.name, workers });
  }

  /** Publishes which engine a worker uses, once that is known. */
  #announceEngine({ id, name, engine }: Pick<WorkerConnection, 'id' | 'name' | 'engine'>): void {
    if (engine === undefined) return;
    this.#events.publish({ type: 'engine-assigned', id, name, ...engine });
    const expected = this.engine.fingerprint;
    const match = expected === null ? 'exact' : compareFingerprints(engine.fingerprint, expected);
    if (expected === null || match === 'exact') return;
    const { fingerprint } = engine;
    this.#events.publish({ type: 'inexact', name, fingerprint, expected, exactAsProbed: match === 'as-probed' });
  }

  #publishLeftEarly({ name, address }: Pick<WorkerConnection, 'name' | 'address'>, reason: string): void {
    this.#publishAccess(`${name} (${address}) left before it had joined: ${reason}`);
  }

  #publishAccess(message: string): void {
    // Connections that have not completed the handshake when the session ends are not reported as refused.
    if (!this.#isEnded) this.#events.publish({ type: 'access', message });
  }
}

// A run that a relay has joined, as its workers see it: the port, the workers, and what is kept while the relay's own
// connection is lost.
import type { AccessPolicy } from '../coordinator/connections/access-policy.js';
import { StepTracker } from '../coordinator/monitoring/step-tracker.js';
import { RunEventBus } from '../coordinator/run/run-event-bus.js';
import { Replicator } from '../coordinator/scheduling/replicator.js';
import { SliceScheduler } from '../coordinator/scheduling/slice-scheduler.js';
import { ItemDurations } from '../coordinator/scheduling/straggler-watch.js';
import { CoordinatorSession } from '../coordinator/session.js';
import type { Clock } from '../shared/clock.js';
import { LockstepError, ProtocolError } from '../shared/errors.js';
import type { ModelLayout } from '../shared/network/layout.js';
import type { Welcome } from '../shared/protocol/messages.js';
import type { RelayRules } from '../shared/protocol/relay-messages.js';
import type { JoinedRun } from '../worker/session.js';
import { RelayShards } from './relay-shards.js';

export class RelayedRun {
  readonly welcome: Welcome;
  readonly layout: ModelLayout;
  readonly rules: RelayRules;
  readonly shards: RelayShards;
  readonly session: CoordinatorSession;
  readonly scheduler: SliceScheduler;
  readonly replicator: Replicator;
  readonly evaluationDurations = new ItemDurations();
  /** Which worker computes which slices now. */
  readonly tracker: StepTracker;
  /** Receives the events of the current step, for the tracker. */
  readonly stepEvents = new RunEventBus();
  #end: (reason: LockstepError) => void = () => undefined;
  /** Settles when the port is closed. */
  #closed: Promise<void> = Promise.resolve();

  /** Throws ProtocolError if the coordinator did not welcome this process as a relay. */
  constructor({ welcome, payload, spec }: JoinedRun, access: AccessPolicy, events: RunEventBus, clock: Clock) {
    const { workerId: _workerId, runId: id, relay: rules, ...common } = welcome;
    if (rules === undefined) throw new ProtocolError('the welcome of a relay has no rules for its workers');
    const { config, shards } = welcome;
    const training = shards.filter(({ split }) => split === 'training').map(({ sha256 }) => sha256);
    this.welcome = welcome;
    this.layout = spec.layout;
    this.rules = rules;
    this.shards = new RelayShards(shards);
    this.tracker = new StepTracker(this.stepEvents, clock);
    const stepsPerRound = Math.min(config.localSteps, welcome.stepsPerEpoch);
    this.scheduler = new SliceScheduler(training, stepsPerRound * (config.batchSize / config.slices));
    this.replicator = new Replicator(training, rules.replicas);
    const setup = {
      config,
      layout: spec.layout,
      records: this.shards.records,
      engine: rules,
      welcome: common,
      // The memory of the message is used again.
      welcomePayload: [payload.slice()],
      relays: undefined,
    };
    this.session = new CoordinatorSession(setup, access, events, clock, { kind: 'relay', id, stopGraceMs: () => 0 });
  }

  /** Opens the port. Throws `port-in-use` and `bad-address`. */
  async open(status: () => object): Promise<void> {
    const { session } = this;
    const { pool } = session;
    await session.listen({
      status,
      notReady: () => (pool.size === 0 ? 'no workers are connected' : undefined),
    });
    const replicate = () => this.replicator.update(pool.workers);
    pool.listen({ joined: replicate, left: replicate, shardHeld: replicate });
    session.announceWorkers(() => false);
    const ended = new Promise<never>((_, reject) => {
      this.#end = reject;
    });
    // It ends with the error that is its reason.
    this.#closed = session.run(() => ended).catch(() => undefined);
  }

  /** Applies the coordinator's choice of the engine. Throws ProtocolError if it contradicts an earlier one. */
  chooseEngine(fingerprint: string): void {
    const { engine } = this.session;
    if (engine.fingerprint === fingerprint) return;
    if (engine.fingerprint !== null) {
      throw new ProtocolError(`the coordinator chose ${fingerprint} after ${engine.fingerprint}`);
    }
    engine.choose(fingerprint);
    this.session.assignEngines();
  }

  /** Says goodbye to the workers and closes the port. */
  async end(reason: string): Promise<void> {
    this.#end(new LockstepError('interrupted', reason));
    await this.#closed;
  }

  /** Closes the port and all connections. The workers connect again. */
  async drop(): Promise<void> {
    await this.session.close();
    await this.end('the relay has joined another run');
  }
}

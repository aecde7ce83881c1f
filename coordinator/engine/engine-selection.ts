// Chooses the run's engine once enough workers have joined, before the first step.
import type { Clock } from '../../shared/clock.js';
import { fingerprintsMatch } from '../../shared/protocol/engines/probed-fingerprint.js';
import type { WorkerPool } from '../connections/worker-pool.js';
import type { RunEventBus } from '../run/run-event-bus.js';
import { rankEngines, type MeasuredWorker } from './choose-engine.js';
import { measuredBy, measureEngines } from './measure-engines.js';
import type { RunEngine } from './run-engine.js';

export class EngineSelection {
  readonly #engine: RunEngine;
  readonly #pool: WorkerPool;
  readonly #events: RunEventBus;
  readonly #clock: Clock;
  readonly #onChosen: () => Promise<void>;

  /** @param onChosen called when the engine has been chosen; tells the workers, and stores the choice */
  constructor(engine: RunEngine, pool: WorkerPool, events: RunEventBus, clock: Clock, onChosen: () => Promise<void>) {
    this.#engine = engine;
    this.#pool = pool;
    this.#events = events;
    this.#clock = clock;
    this.#onChosen = onChosen;
  }

  get isDone(): boolean {
    return this.#engine.fingerprint !== null;
  }

  /**
   * Chooses among the engines of the connected workers. If they offer several, the workers measure them first. Chooses
   * nothing if all workers leave meanwhile. Rejects when the signal is aborted.
   */
  async choose(signal: AbortSignal): Promise<void> {
    const ranked = rankEngines(await this.#measureIfNeeded(signal), (engine) => this.#engine.allows(engine));
    if (ranked.length === 0) return;
    const [{ engine, fingerprint }] = ranked;
    this.#engine.choose(fingerprint);
    const without = this.#pool.workers
      .flatMap((worker) => worker.relayed?.all ?? [worker])
      .filter(({ offers }) => !offers.some((offer) => fingerprintsMatch(offer.fingerprint, fingerprint)));
    this.#events.publish({
      type: 'engine-chosen',
      engine,
      fingerprint,
      candidates: ranked,
      workersWithout: without.map(({ name }) => name),
    });
    await this.#onChosen();
  }

  async #measureIfNeeded(signal: AbortSignal): Promise<MeasuredWorker[]> {
    const { workers } = this.#pool;
    const allows = this.#engine.allows.bind(this.#engine);
    const unmeasured = workers.map((worker) => measuredBy(worker, new Map()));
    if (rankEngines(unmeasured, allows).length <= 1) return unmeasured;
    const allowed = workers.flatMap(({ offers }) => offers.filter(allows));
    const engines = [...new Set(allowed.map(({ engine }) => engine))];
    this.#events.publish({ type: 'measuring-engines', workers: this.#pool.size, engines });
    return measureEngines(this.#pool, allows, this.#clock, signal);
  }
}

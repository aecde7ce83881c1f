// Builds the snapshots for /status. To keep the cost to the run low, most values are read only when a snapshot is
// taken; the rest are collected from events.
import type { Clock } from '../../shared/clock.js';
import type { Config } from '../../shared/config/config.js';
import {
  runPhases,
  type RunPhase,
  type RunStatus,
  type WorkerState,
  type WorkerStatus,
} from '../../shared/monitoring/run-status.js';
import { describeOffers } from '../../shared/protocol/engine-identity.js';
import { lockstepVersion } from '../../shared/version.js';
import type { RelayedWorker } from '../connections/relayed-workers.js';
import type { WorkerConnection } from '../connections/worker-connection.js';
import type { WorkerPool } from '../connections/worker-pool.js';
import type { ShardStore } from '../dataset/shard-store.js';
import type { Metrics } from '../run/metrics.js';
import type { RunEventBus } from '../run/run-event-bus.js';
import type { RunEventOf } from '../run/run-events.js';
import type { RunTotals } from '../run/run-totals.js';
import type { RunSchedule } from '../training/run-schedule.js';
import type { TrainingState } from '../training/training-state.js';
import type { StepTracker } from './step-tracker.js';

/** Maximum number of lost workers remembered; beyond it, the one that was lost first is forgotten. */
const maxLostWorkers = 200;

type SecondsIn = RunStatus['run']['secondsIn'];

/** Parts of a run that snapshots are read from. */
export interface StatusSources {
  id: string;
  directory: { readonly directory: string };
  setup: { config: Config; store: Pick<ShardStore, 'shards'> };
  schedule: RunSchedule;
  state: Pick<TrainingState, 'step' | 'imagesSeen' | 'validation'>;
  totals: RunTotals;
  pool: WorkerPool;
  quorum: { readonly needed: number };
  tracker: StepTracker;
  clock: Clock;
}

/** Connection history of all workers with the same name. */
interface History {
  joined: number;
  lost: number;
  /** Status of the last lost worker with this name; undefined while a worker with this name is connected. */
  last: { status: WorkerStatus; lostMs: number } | undefined;
}

export class StatusReporter {
  readonly #sources: StatusSources;
  readonly #startedAt = new Date();
  /** The slices of each training shard, by the shard's hash. */
  readonly #slices = new Map<string, readonly number[]>();
  readonly #histories = new Map<string, History>();
  #lastStep: RunEventOf<'step'> | undefined;
  #test: RunEventOf<'test'> | undefined;
  #checkpoint: RunStatus['run']['checkpoint'] = null;
  #stepsHere = 0;
  /** Time spent in each phase, excluding the time since the current phase began. */
  readonly #phaseMs = new Map<RunPhase, number>();
  #phase: RunPhase = 'waiting';
  #phaseSinceMs: number;

  constructor(sources: StatusSources, events: RunEventBus) {
    this.#sources = sources;
    const { store } = sources.setup;
    for (const { sha256, index } of store.shards.filter(({ split }) => split === 'training')) {
      this.#slices.set(sha256, [...(this.#slices.get(sha256) ?? []), index]);
    }
    this.#phaseSinceMs = sources.clock.now();
    events.on('phase', ({ phase }) => this.#enter(phase));
    const stepsBefore = sources.state.step;
    events.on('step', (event) => {
      this.#lastStep = event;
      this.#stepsHere = event.step - stepsBefore;
    });
    events.on('test', (event) => (this.#test = event));
    events.on('resumed', ({ step, path }) => (this.#checkpoint = { step, path, time: null }));
    events.on('checkpoint', ({ step, path, time }) => (this.#checkpoint = { step, path, time }));
    const joined = ({ name }: { name: string }) => {
      const history = this.#historyOf(name);
      history.joined++;
      history.last = undefined;
    };
    events.on('worker-joined', joined);
    events.on('relay-joined', joined);
    events.on('worker-lost', ({ name, relay }) => {
      if (relay !== undefined) this.#historyOf(name).lost++;
    });
    // Listens to the pool rather than to `worker-lost` because the connection holds the worker's final statistics.
    sources.pool.listen({
      left: (worker, reason) => {
        if (worker.relayed === undefined) this.#left(worker, reason);
      },
      relayDisconnected: (relay, reason) => this.#left(relay, reason),
    });
  }

  /** Returns why the run cannot make progress; undefined if it can, or if an operator has paused it. */
  notReady(): string | undefined {
    const { pool, quorum } = this.#sources;
    if (this.#phase === 'ended') return 'the run has ended';
    if (this.#phase !== 'waiting') return undefined;
    return `waiting for workers: ${pool.size} of ${quorum.needed} are connected`;
  }

  snapshot(): RunStatus {
    const { pool, clock } = this.#sources;
    const assigned = this.#assignedSlices();
    const connected = pool.connections.flatMap((worker) => this.#statuses(worker, assigned.get(worker.id)));
    const now = clock.now();
    const lost = [...this.#histories.values()].flatMap((history) => {
      const { last } = history;
      if (last === undefined) return [];
      return [{ ...last.status, lastSeenSecondsAgo: (now - last.lostMs) / 1000, ...countsOf(history) }];
    });
    return {
      lockstepVersion,
      time: new Date().toISOString(),
      run: this.#runStatus(),
      workers: [...connected, ...lost],
    };
  }

  #runStatus(): RunStatus['run'] {
    const { id, setup, schedule, state, pool, totals, quorum } = this.#sources;
    const { batchSize } = setup.config;
    const { workersJoined, workersLost, slicesReassigned, stragglers, slicesDuplicated, clippedValues } = totals.record;
    const last = this.#lastStep;
    const activeMs = runPhases.filter(isActive).reduce((sum, phase) => sum + this.#msIn(phase), 0);
    const stepsLeft = Math.max(0, schedule.totalSteps - state.step);
    return {
      id,
      directory: this.#sources.directory.directory,
      phase: this.#phase,
      step: state.step,
      steps: schedule.totalSteps,
      stepsPerEpoch: schedule.stepsPerEpoch,
      epoch: schedule.epochOf(state.step),
      epochs: schedule.totalEpochs,
      batchSize,
      startedAt: this.#startedAt.toISOString(),
      loss: finiteOrNull(last?.loss),
      accuracy: finiteOrNull(last?.accuracy),
      learningRate: last?.learningRate ?? schedule.learningRateAt(state.step),
      validation: evaluationStatus(state.validation),
      test: evaluationStatus(this.#test),
      imagesPerSecond: {
        now: isActive(this.#phase) ? (last?.imagesPerSecond ?? 0) : 0,
        mean: totals.trainingMs === 0 ? 0 : (1000 * this.#stepsHere * batchSize) / totals.trainingMs,
      },
      imagesSeen: state.imagesSeen,
      secondsLeft: this.#stepsHere === 0 ? null : (activeMs / this.#stepsHere / 1000) * stepsLeft,
      secondsIn: Object.fromEntries(runPhases.map((phase) => [phase, this.#msIn(phase) / 1000])) as SecondsIn,
      exact: totals.exact,
      bytesSent: totals.bytes.sent + pool.bytes.sent,
      bytesReceived: totals.bytes.received + pool.bytes.received,
      slicesReassigned,
      stragglers,
      slicesDuplicated,
      clippedValues,
      workersNeeded: quorum.needed,
      workersJoined,
      workersLost,
      checkpoint: this.#checkpoint,
      slices: this.#sliceStatuses(),
    };
  }

  /**
   * Returns, for each slice of the current step, the workers that it was assigned to and the worker whose answer
   * counted.
   */
  #sliceStatuses(): RunStatus['run']['slices'] {
    const { tracker, setup } = this.#sources;
    if (tracker.current === undefined) return [];
    const slices = Array.from({ length: setup.config.slices }, () => ({
      workers: [] as number[],
      answeredBy: null as number | null,
    }));
    for (const { worker, firstSlice, sliceCount, reason, end } of tracker.current.bars) {
      if (reason === 'probe') continue;
      for (const slice of slices.slice(firstSlice, firstSlice + sliceCount)) {
        slice.workers.push(worker);
        if (end === 'counted') slice.answeredBy = worker;
      }
    }
    return slices;
  }

  /** Returns the slices that each worker was assigned in the current step, by worker id. */
  #assignedSlices(): Map<number, number[]> {
    const assigned = new Map<number, number[]>();
    for (const [slice, { workers }] of this.#sliceStatuses().entries()) {
      for (const worker of new Set(workers)) assigned.set(worker, [...(assigned.get(worker) ?? []), slice]);
    }
    return assigned;
  }

  /** Returns the status of a worker, or those of a relay and its workers. */
  #statuses(connection: WorkerConnection, slices: number[] | undefined): WorkerStatus[] {
    const own = this.#workerStatus(connection, slices);
    const relayed = connection.relayed?.all ?? [];
    return [own, ...relayed.map((worker) => relayedStatus(worker, own, this.#histories.get(worker.name)))];
  }

  #workerStatus(worker: WorkerConnection, slices: number[] = []): WorkerStatus {
    const { clock, totals } = this.#sources;
    const { id, name, address, engineDescription, load, bytesSent, bytesReceived } = worker;
    return {
      id,
      name,
      address,
      state: this.#workerState(worker, slices.length > 0),
      ...engineDescription,
      slices,
      shards: this.#slicesOf(worker.heldShards),
      imagesPerSecond: load.speed.imagesPerSecond,
      images: totals.imagesOf(name),
      timeShares: load.time.shares(clock.now()),
      bytesSent,
      bytesReceived,
      lastSeenSecondsAgo: worker.silentMs / 1000,
      joinedAt: worker.joinedAt.toISOString(),
      ...countsOf(this.#histories.get(name)),
      lostReason: null,
      relay: null,
      relayedWorkers: worker.relayed?.size ?? null,
    };
  }

  /** Returns the slices whose shards are among these, in order. */
  #slicesOf(shards: ReadonlySet<string>): number[] {
    const slices = [...shards].flatMap((sha256) => this.#slices.get(sha256) ?? []);
    return slices.toSorted((a, b) => a - b);
  }

  #workerState({ id, load }: WorkerConnection, hasSlices: boolean): Exclude<WorkerState, 'lost'> {
    const { tracker, state } = this.#sources;
    const step = tracker.current;
    const isLate = step?.bars.some(({ worker, isLate: late, end }) => worker === id && late && end === null);
    if (isLate === true || load.isBusyBefore(state.step)) return 'late';
    // A spare worker occasionally computes a probe, which does not make it `working`.
    if (load.isBusy && (hasSlices || this.#phase !== 'training')) return 'working';
    return hasSlices || step === undefined ? 'idle' : 'spare';
  }

  #left(worker: WorkerConnection, reason: string): void {
    // Workers that are disconnected at the end of the run are not lost.
    if (this.#phase === 'ended') return;
    const { pool, clock } = this.#sources;
    const history = this.#historyOf(worker.name);
    history.lost++;
    if (pool.connections.some(({ name }) => name === worker.name)) return;
    const status: WorkerStatus = { ...this.#workerStatus(worker), state: 'lost', lostReason: reason };
    history.last = { status, lostMs: clock.now() };
    this.#histories.delete(worker.name);
    this.#histories.set(worker.name, history);
    const lost = [...this.#histories].filter(([, { last }]) => last !== undefined);
    if (lost.length > maxLostWorkers) this.#histories.delete(lost[0][0]);
  }

  #historyOf(name: string): History {
    const history = this.#histories.get(name) ?? { joined: 0, lost: 0, last: undefined };
    this.#histories.set(name, history);
    return history;
  }

  #enter(phase: RunPhase): void {
    this.#phaseMs.set(this.#phase, this.#msIn(this.#phase));
    this.#phase = phase;
    this.#phaseSinceMs = this.#sources.clock.now();
  }

  /** Returns the time spent in a phase so far, in milliseconds. */
  #msIn(phase: RunPhase): number {
    const currentMs = phase === this.#phase ? this.#sources.clock.now() - this.#phaseSinceMs : 0;
    return (this.#phaseMs.get(phase) ?? 0) + currentMs;
  }
}

/** Returns the status of a worker behind a relay. @param relay status of the relay */
function relayedStatus(
  { id, name, address, offers, engine, joinedAt }: RelayedWorker,
  relay: WorkerStatus,
  history: History | undefined,
): WorkerStatus {
  return {
    id,
    name,
    address,
    state: relay.state,
    ...(engine ?? describeOffers(offers)),
    slices: [],
    shards: [],
    imagesPerSecond: 0,
    images: 0,
    timeShares: null,
    bytesSent: 0,
    bytesReceived: 0,
    lastSeenSecondsAgo: relay.lastSeenSecondsAgo,
    joinedAt: joinedAt.toISOString(),
    ...countsOf(history),
    lostReason: null,
    relay: relay.name,
    relayedWorkers: null,
  };
}

/** Whether the run makes progress in this phase. */
function isActive(phase: RunPhase): boolean {
  return phase !== 'waiting' && phase !== 'measuring' && phase !== 'paused' && phase !== 'ended';
}

function countsOf(history: Pick<History, 'joined' | 'lost'> | undefined) {
  return { timesLost: history?.lost ?? 0, timesRejoined: Math.max(0, (history?.joined ?? 1) - 1) };
}

function evaluationStatus(result: (Metrics & { step: number }) | null | undefined) {
  if (result === null || result === undefined) return null;
  return { step: result.step, loss: finiteOrNull(result.loss), accuracy: finiteOrNull(result.accuracy) };
}

function finiteOrNull(value: number | undefined): number | null {
  return value !== undefined && Number.isFinite(value) ? value : null;
}

// Builds the snapshots for /status. To keep the cost to the run low, most values are read only when a snapshot is
// taken; the rest are collected from events.
import type { Clock } from '../../shared/clock.js';
import type { Config } from '../../shared/config/config.js';
import { runPhases, type RunPhase, type RunStatus, type WorkerStatus } from '../../shared/monitoring/run-status.js';
import type { ConnectedState } from '../../shared/monitoring/worker-states.js';
import { describeOffers } from '../../shared/protocol/engine-identity.js';
import { slicesIn } from '../../shared/reduction/slices.js';
import { lockstepVersion } from '../../shared/version.js';
import type { RelayedWorker } from '../connections/relays/relayed-workers.js';
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
import { assignedSlices, sliceStatuses, stateOf } from './worker-activity.js';

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
    // Listens to the pool rather than to `worker-lost` because the connection holds the worker's final statistics.
    sources.pool.listen({
      left: (worker, reason) => {
        if (worker.relayed === undefined) this.#left(this.#workerStatus(worker), reason);
      },
      relayDisconnected: (relay, reason) => this.#left(this.#workerStatus(relay), reason),
      relayedLeft: (worker, relay, reason) => this.#left(this.#relayedStatus(worker, relay), reason),
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
    const { pool, clock, tracker, setup } = this.#sources;
    const assigned = assignedSlices(tracker, setup.config.slices);
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
    const { id, setup, schedule, state, pool, totals, quorum, tracker } = this.#sources;
    const { batchSize, slices } = setup.config;
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
      slices: sliceStatuses(tracker, slices),
    };
  }

  /** Returns the status of a worker, or those of a relay and its workers. */
  #statuses(connection: WorkerConnection, slices: number[] | undefined): WorkerStatus[] {
    const own = this.#workerStatus(connection, slices);
    const relayed = connection.relayed?.all ?? [];
    return [own, ...relayed.map((worker) => this.#relayedStatus(worker, connection))];
  }

  #workerStatus(worker: WorkerConnection, slices: number[] = []): WorkerStatus {
    const { clock } = this.#sources;
    const { id, name, address, engineDescription, load, bytesSent, bytesReceived, bytesPerSecond } = worker;
    return {
      id,
      name,
      address,
      state: this.#workerState(worker, slices.length > 0),
      ...engineDescription,
      slices,
      shards: this.#slicesOf(worker.heldShards),
      imagesPerSecond: load.speed.imagesPerSecond,
      images: this.#imagesOf(worker),
      timeShares: load.time.shares(clock.now()),
      bytesSent,
      bytesReceived,
      sentBytesPerSecond: bytesPerSecond.sent,
      receivedBytesPerSecond: bytesPerSecond.received,
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

  /** Returns the images of a worker, or those of the workers behind a relay. */
  #imagesOf({ name, relayed }: WorkerConnection): number {
    const names = relayed === undefined ? [name] : relayed.all.map((worker) => worker.name);
    return names.reduce((sum, each) => sum + this.#sources.totals.imagesOf(each), 0);
  }

  #relayedStatus(worker: RelayedWorker, relay: WorkerConnection): WorkerStatus {
    const { id, name, address, offers, engine, joinedAt, status } = worker;
    const silentMs = relay.silentMs + (status?.silentMs ?? 0);
    return {
      id,
      name,
      address,
      state: status?.state ?? 'idle',
      ...(engine ?? describeOffers(offers)),
      slices: (status?.slices ?? []).flatMap(slicesIn),
      shards: [],
      imagesPerSecond: status?.imagesPerSecond ?? 0,
      images: this.#sources.totals.imagesOf(name),
      timeShares: status?.timeShares ?? null,
      bytesSent: status?.bytesSent ?? 0,
      bytesReceived: status?.bytesReceived ?? 0,
      sentBytesPerSecond: status?.sentBytesPerSecond ?? 0,
      receivedBytesPerSecond: status?.receivedBytesPerSecond ?? 0,
      lastSeenSecondsAgo: silentMs / 1000,
      joinedAt: joinedAt.toISOString(),
      ...countsOf(this.#histories.get(name)),
      lostReason: null,
      relay: relay.name,
      relayedWorkers: null,
    };
  }

  #workerState(worker: WorkerConnection, hasSlices: boolean): ConnectedState {
    const { tracker, state } = this.#sources;
    return stateOf(worker, { tracker, step: state.step, isTraining: this.#phase === 'training' }, hasSlices);
  }

  #left(worker: WorkerStatus, reason: string): void {
    // Workers that are disconnected at the end of the run are not lost.
    if (this.#phase === 'ended') return;
    const { pool, clock } = this.#sources;
    const { name } = worker;
    const history = this.#historyOf(name);
    history.lost++;
    const connected = pool.connections.flatMap((each) => [each, ...(each.relayed?.all ?? [])]);
    if (connected.some((other) => other.name === name && other.id !== worker.id)) return;
    const status: WorkerStatus = { ...worker, slices: [], state: 'lost', lostReason: reason };
    history.last = { status, lostMs: clock.now() };
    this.#histories.delete(name);
    this.#histories.set(name, history);
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

// Keeps what a status is made of and was only told in passing, and makes the snapshot. Costs a run nothing but a few
// assignments a step; what a snapshot costs, whoever asks for it pays.
import type { Clock } from '../../shared/clock.js';
import type { Config } from '../../shared/config/config.js';
import {
  runPhases,
  type RunPhase,
  type RunStatus,
  type WorkerState,
  type WorkerStatus,
} from '../../shared/monitoring/run-status.js';
import { lockstepVersion } from '../../shared/version.js';
import type { ShardStore } from '../dataset/shard-store.js';
import type { EvaluationEvent, StepEvent } from '../run/run-events.js';
import type { TrainingRun } from '../training/training-run.js';
import type { WorkerConnection } from '../connections/worker-connection.js';
import type { WorkerPool } from '../connections/worker-pool.js';

/** Names of workers that are gone; beyond so many the one that was lost first is forgotten. */
const maxLostNames = 200;

type SecondsIn = RunStatus['run']['secondsIn'];

export interface StatusSources {
  id: string;
  directory: string;
  run: Pick<TrainingRun, 'step' | 'epoch' | 'totalSteps' | 'standing' | 'journal'>;
  pool: WorkerPool;
  config: Config;
  store: Pick<ShardStore, 'shards' | 'stepsPerEpoch'>;
  clock: Clock;
}

/** What is known of a worker's name beyond its connection. */
interface Past {
  joined: number;
  lost: number;
  /** How it was when it was lost; undefined while one of that name is here. */
  last: { status: WorkerStatus; lostMs: number } | undefined;
}

export class StatusReporter {
  readonly #sources: StatusSources;
  readonly #startedAt = new Date();
  readonly #shards: readonly string[];
  readonly #pasts = new Map<string, Past>();
  #lastStep: StepEvent | undefined;
  #test: EvaluationEvent | undefined;
  #checkpoint: RunStatus['run']['checkpoint'] = null;
  #stepsHere = 0;
  /** Time spent on each phase but for the time in the running one. */
  readonly #phaseMs = new Map<RunPhase, number>();
  #phase: RunPhase;
  #phaseSinceMs: number;

  constructor(sources: StatusSources) {
    this.#sources = sources;
    const { store, run } = sources;
    this.#shards = store.shards.filter(({ split }) => split === 'training').map(({ sha256 }) => sha256);
    const { journal } = run;
    this.#phase = journal.phase;
    this.#phaseSinceMs = sources.clock.now();
    journal.on('phase', ({ phase }) => this.#become(phase));
    journal.on('step', (event) => {
      this.#lastStep = event;
      this.#stepsHere++;
    });
    journal.on('test', (event) => (this.#test = event));
    journal.on('resumed', ({ step, path }) => (this.#checkpoint = { step, path, time: null }));
    journal.on('checkpoint', ({ step, path }) => (this.#checkpoint = { step, path, time: new Date().toISOString() }));
    journal.on('workerJoined', ({ name }) => {
      const past = this.#pastOf(name);
      past.joined++;
      past.last = undefined;
    });
    sources.pool.listen({ left: (worker, reason) => this.#left(worker, reason) });
  }

  /** Why the run cannot go on; undefined while it does, or is paused by somebody's will. */
  notReady(): string | undefined {
    const { run, pool } = this.#sources;
    switch (run.journal.phase) {
      case 'ended':
        return 'the run has ended';
      case 'waiting':
        return `waiting for workers: ${pool.size} of ${run.standing.workersNeeded} are here`;
      case 'training':
      case 'validating':
      case 'testing':
      case 'saving':
      case 'paused':
        return undefined;
      default:
        return run.journal.phase satisfies never;
    }
  }

  snapshot(): RunStatus {
    const { pool } = this.#sources;
    const given = this.#slicesGiven();
    const here = pool.workers.map((worker) => this.#statusOf(worker, given.get(worker.id)));
    const now = this.#sources.clock.now();
    const gone = [...this.#pasts.values()].flatMap(({ joined, lost, last }) => {
      if (last === undefined) return [];
      const lastSeenSecondsAgo = (now - last.lostMs) / 1000;
      return [{ ...last.status, lastSeenSecondsAgo, ...timesOf({ joined, lost }) }];
    });
    return { lockstepVersion, time: new Date().toISOString(), run: this.#runStatus(), workers: [...here, ...gone] };
  }

  #runStatus(): RunStatus['run'] {
    const { id, directory, run, pool, config, store } = this.#sources;
    const { ledger, phase } = run.journal;
    const { validation, learningRate, workersNeeded, round, imagesSeen } = run.standing;
    const last = this.#lastStep;
    const activeMs = runPhases.filter(isActive).reduce((sum, each) => sum + this.#msIn(each), 0);
    const bytes = (direction: 'bytesSent' | 'bytesReceived') =>
      pool.workers.reduce((sum, worker) => sum + worker[direction], ledger[direction]);
    return {
      id,
      directory,
      phase,
      step: run.step,
      steps: run.totalSteps,
      stepsPerEpoch: store.stepsPerEpoch,
      epoch: run.epoch,
      epochs: Math.ceil(run.totalSteps / store.stepsPerEpoch),
      batchSize: config.batchSize,
      startedAt: this.#startedAt.toISOString(),
      loss: finiteOrNull(last?.loss),
      accuracy: finiteOrNull(last?.accuracy),
      learningRate: last?.learningRate ?? learningRate,
      validation: evaluated(validation),
      test: evaluated(this.#test),
      imagesPerSecond: {
        now: isActive(phase) ? (last?.imagesPerSecond ?? 0) : 0,
        mean: ledger.trainingMs === 0 ? 0 : (1000 * this.#stepsHere * config.batchSize) / ledger.trainingMs,
      },
      imagesSeen,
      secondsLeft:
        this.#stepsHere === 0 ? null : (activeMs / this.#stepsHere / 1000) * Math.max(0, run.totalSteps - run.step),
      secondsIn: Object.fromEntries(runPhases.map((each) => [each, this.#msIn(each) / 1000])) as SecondsIn,
      exact: ledger.exact,
      bytesSent: bytes('bytesSent'),
      bytesReceived: bytes('bytesReceived'),
      slicesReassigned: ledger.slicesReassigned,
      stragglers: ledger.stragglers,
      slicesDuplicated: ledger.slicesDuplicated,
      workersNeeded,
      workersJoined: ledger.workersJoined,
      workersLost: ledger.workersLost,
      checkpoint: this.#checkpoint,
      slices: (round?.slices ?? []).map(({ workers, answeredBy }) => ({ workers: [...workers], answeredBy })),
    };
  }

  /** By worker. */
  #slicesGiven(): Map<number, number[]> {
    const given = new Map<number, number[]>();
    for (const [slice, { workers }] of (this.#sources.run.standing.round?.slices ?? []).entries()) {
      for (const worker of new Set(workers)) {
        const slices = given.get(worker);
        if (slices === undefined) given.set(worker, [slice]);
        else slices.push(slice);
      }
    }
    return given;
  }

  /** Of many slices: each worker has a few of them, but is asked about each. */
  #shardsOf(worker: WorkerConnection): number[] {
    const held: number[] = [];
    for (let slice = 0; slice < this.#shards.length; slice++) {
      if (worker.holds(this.#shards[slice])) held.push(slice);
    }
    return held;
  }

  /** @param slices that it was given in the running step */
  #statusOf(worker: WorkerConnection, slices: number[] = []): WorkerStatus {
    const { clock, run } = this.#sources;
    const { ledger } = run.journal;
    const { id, name, address, engine } = worker;
    return {
      id,
      name,
      address,
      state: this.#stateOf(worker, slices.length > 0),
      ...engine,
      slices,
      shards: this.#shardsOf(worker),
      imagesPerSecond: worker.speed.imagesPerSecond,
      images: ledger.imagesOf(name),
      timeShares: worker.time.shares(clock.now()),
      bytesSent: worker.bytesSent,
      bytesReceived: worker.bytesReceived,
      lastSeenSecondsAgo: worker.silentMs / 1000,
      joinedAt: worker.joinedAt.toISOString(),
      ...timesOf(this.#pasts.get(name)),
      lostReason: null,
    };
  }

  #stateOf(worker: WorkerConnection, hasSlices: boolean): Exclude<WorkerState, 'lost'> {
    const { run } = this.#sources;
    const { round } = run.standing;
    if (round?.isLate(worker.id) === true || worker.owesBefore(run.step)) return 'late';
    // One without slices computes now and then to be measured.
    if (worker.isBusy && (hasSlices || run.journal.phase !== 'training')) return 'working';
    return hasSlices || round === undefined ? 'idle' : 'spare';
  }

  #left(worker: WorkerConnection, reason: string): void {
    // Workers that are sent home at the end are not lost.
    if (this.#sources.run.journal.phase === 'ended') return;
    const past = this.#pastOf(worker.name);
    past.lost++;
    const isAnotherHere = this.#sources.pool.workers.some(({ name }) => name === worker.name);
    if (isAnotherHere) return;
    const status: WorkerStatus = { ...this.#statusOf(worker), state: 'lost', lostReason: reason };
    past.last = { status, lostMs: this.#sources.clock.now() };
    this.#pasts.delete(worker.name);
    this.#pasts.set(worker.name, past);
    const gone = [...this.#pasts].filter(([, { last }]) => last !== undefined);
    if (gone.length > maxLostNames) this.#pasts.delete(gone[0][0]);
  }

  #pastOf(name: string): Past {
    const past = this.#pasts.get(name) ?? { joined: 0, lost: 0, last: undefined };
    this.#pasts.set(name, past);
    return past;
  }

  #become(phase: RunPhase): void {
    this.#phaseMs.set(this.#phase, this.#msIn(this.#phase));
    this.#phase = phase;
    this.#phaseSinceMs = this.#sources.clock.now();
  }

  /** Until now. */
  #msIn(phase: RunPhase): number {
    const runningMs = phase === this.#phase ? this.#sources.clock.now() - this.#phaseSinceMs : 0;
    return (this.#phaseMs.get(phase) ?? 0) + runningMs;
  }
}

/** Whether the run gets on in this phase. */
function isActive(phase: RunPhase): boolean {
  return phase !== 'waiting' && phase !== 'paused' && phase !== 'ended';
}

function timesOf(past: Pick<Past, 'joined' | 'lost'> | undefined): { timesLost: number; timesRejoined: number } {
  return { timesLost: past?.lost ?? 0, timesRejoined: Math.max(0, (past?.joined ?? 1) - 1) };
}

function evaluated(event: { step: number; loss: number; accuracy: number } | null | undefined) {
  if (event === null || event === undefined) return null;
  return { step: event.step, loss: finiteOrNull(event.loss), accuracy: finiteOrNull(event.accuracy) };
}

function finiteOrNull(value: number | undefined): number | null {
  return value !== undefined && Number.isFinite(value) ? value : null;
}

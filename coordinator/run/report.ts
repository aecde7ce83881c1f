// What a run tells: the final report, the lines of metrics.jsonl, and where the time of a step went.
import { z } from 'zod';
import type { EngineCount, EngineIdentity } from '../../shared/protocol/engine-identity.js';
import { lockstepVersion } from '../../shared/version.js';
import type { WorkerSummary } from '../../shared/monitoring/messages.js';
import type { WorkerPhases, WorkerWork } from '../training/step-contributions.js';
import type { Metrics } from './metrics.js';

/**
 * Where the time of a step goes, in milliseconds. The first five are the mean over the workers that computed in it, the
 * last two the coordinator's; `step` is the whole, from one update to the next.
 */
export interface StepPhases {
  /** From a worker's last answer to the next weights: the other way's transfer, reduction, update, waiting for others. */
  waitForWeights: number;
  augment: number;
  compute: number;
  /** Adding a worker's own slices. */
  add: number;
  /** Handing the answer to the socket until it has left. */
  send: number;
  /** Adding the workers' partials. */
  reduce: number;
  /** The optimizer and the moving statistics, and encoding the next weights. */
  update: number;
  step: number;
}

/** One line of metrics.jsonl. `time` is when it was written, as ISO 8601 in UTC. */
export type MetricsLine =
  | ({
      type: 'step';
      time: string;
      step: number;
      epoch: number;
      learningRate: number;
      imagesPerSecond: number;
      phases: StepPhases;
    } & Metrics)
  | ({ type: 'validation'; time: string; step: number; epoch: number } & Metrics)
  | ({ type: 'test'; time: string; step: number; epoch: number } & Metrics)
  | { type: 'event'; step: number; time: string; event: RunEventName; detail: string };

export type RunEventName =
  | 'worker-joined'
  | 'worker-lost'
  | 'slices-reassigned'
  | 'straggler'
  | 'inexact'
  | 'waiting'
  | 'checkpoint'
  | 'checkpoint-failed'
  | 'resumed'
  | 'metrics-failed'
  | 'tensorboard-failed'
  | 'door'
  | 'paused'
  | 'continued'
  | 'checkpoint-asked'
  | 'stop-asked'
  | 'worker-dropped';

/**
 * report.json: what a run came to. Over the whole run, however often it was resumed; but time and what was exchanged are
 * those of the coordinator that ended it: wallSeconds, imagesPerSecond, bytesSent, bytesReceived and phases.
 */
export interface Report {
  lockstepVersion: string;
  seed: number;
  /** Of the weights it began with; null where they were drawn. */
  initialWeightsSha256: string | null;
  /** Updates made. */
  steps: number;
  /** Epochs begun. */
  epochs: number;
  imagesSeen: number;
  /** From the first step's start to the end of the test. */
  wallSeconds: number;
  /** Images trained on per second of training, validation and test not counted. */
  imagesPerSecond: number;
  engines: EngineCount[];
  /**
   * Whether every worker had the fingerprint of the first, and the run was never resumed with --override: if so, the
   * weights are a pure function of config and seed.
   */
  exact: boolean;
  workersJoined: number;
  /** Workers that left before the end. */
  workersLost: number;
  /** Slices of a running step that went to another worker because theirs left. */
  slicesReassigned: number;
  /** The steps of the checkpoints from which the run was resumed. */
  resumedAtSteps: readonly number[];
  /** How often a worker was late and its slices were given to others as well. */
  stragglers: number;
  slicesDuplicated: number;
  /** What each worker did, by its name; one that joined again has one entry. */
  workers: WorkerSummary[];
  /** See weightsSha256 in shared/network/layout-hash.ts. */
  weightsSha256: string;
  /** Means over the steps of the last epoch. */
  train: Metrics;
  validation: Metrics | null;
  test: Metrics;
  bytesSent: number;
  bytesReceived: number;
  /** The mean step. */
  phases: StepPhases;
}

/** What a checkpoint keeps of the ledger. */
export const totalsRecord = z.object({
  workersJoined: z.int().nonnegative(),
  workersLost: z.int().nonnegative(),
  slicesReassigned: z.int().nonnegative(),
  // Checkpoints of earlier versions do not have them.
  stragglers: z.int().nonnegative().default(0),
  slicesDuplicated: z.int().nonnegative().default(0),
  engines: z.array(z.object({ engine: z.string(), fingerprint: z.string(), workers: z.int().positive() })),
  resumedAtSteps: z.array(z.int().nonnegative()),
  /** Whether it was resumed with another configuration or other images. */
  isOverridden: z.boolean(),
});
export type TotalsRecord = z.infer<typeof totalsRecord>;

/** Counts what the report is made of while the run goes on. */
export class RunTotals {
  workersJoined = 0;
  workersLost = 0;
  slicesReassigned = 0;
  stragglers = 0;
  slicesDuplicated = 0;
  bytesSent = 0;
  bytesReceived = 0;
  trainingMs = 0;
  #isOverridden = false;
  #resumedAtSteps: readonly number[] = [];
  readonly #engines = new Map<string, EngineCount>();
  readonly #workers = new Map<string, WorkerSummary>();
  readonly #phaseSums = zeroPhases();
  #stepCount = 0;

  /** Counts on from where a checkpoint's ledger was. */
  resume(step: number, record: TotalsRecord, isOverridden: boolean): void {
    this.workersJoined = record.workersJoined;
    this.workersLost = record.workersLost;
    this.slicesReassigned = record.slicesReassigned;
    this.stragglers = record.stragglers;
    this.slicesDuplicated = record.slicesDuplicated;
    for (const engine of record.engines) this.#engines.set(engine.fingerprint, engine);
    this.#resumedAtSteps = [...record.resumedAtSteps, step];
    this.#isOverridden = record.isOverridden || isOverridden;
  }

  /** What a checkpoint is to keep. */
  record(): TotalsRecord {
    const { workersJoined, workersLost, slicesReassigned, stragglers, slicesDuplicated } = this;
    return {
      workersJoined,
      workersLost,
      slicesReassigned,
      stragglers,
      slicesDuplicated,
      engines: [...this.#engines.values()],
      resumedAtSteps: [...this.#resumedAtSteps],
      isOverridden: this.#isOverridden,
    };
  }

  get exact(): boolean {
    return this.#engines.size <= 1 && !this.#isOverridden;
  }

  /** The fingerprint that the run holds to: its first worker's. */
  get firstFingerprint(): string | undefined {
    return [...this.#engines.keys()][0];
  }

  countWorker({ engine, fingerprint }: Omit<EngineIdentity, 'device'>): void {
    this.workersJoined++;
    const known = this.#engines.get(fingerprint);
    this.#engines.set(fingerprint, { engine, fingerprint, workers: (known?.workers ?? 0) + 1 });
  }

  countStep(phases: StepPhases, work: readonly WorkerWork[]): void {
    for (const done of work) this.#countWork(done);
    this.#stepCount++;
    this.trainingMs += phases.step;
    for (const key of phaseNames) this.#phaseSums[key] += phases[key];
  }

  /** What each worker has done so far, in the order in which they first did anything. */
  get workers(): WorkerSummary[] {
    return [...this.#workers.values()];
  }

  /** Images of this worker's whose gradients counted. */
  imagesOf(name: string): number {
    return this.#workers.get(name)?.images ?? 0;
  }

  #countWork({ name, images, phases, waitedForMs }: WorkerWork): void {
    const sum = this.#workers.get(name) ?? {
      name,
      images: 0,
      busySeconds: 0,
      waitSeconds: 0,
      timesWaitedFor: 0,
      secondsWaitedFor: 0,
    };
    sum.images += images;
    sum.busySeconds += (phases.augmentMs + phases.computeMs + phases.reduceMs + phases.sendMs) / 1000;
    sum.waitSeconds += phases.waitMs / 1000;
    if (waitedForMs > 0) sum.timesWaitedFor++;
    sum.secondsWaitedFor += waitedForMs / 1000;
    this.#workers.set(name, sum);
  }

  meanPhases(): StepPhases {
    const mean = zeroPhases();
    for (const key of phaseNames) mean[key] = this.#phaseSums[key] / Math.max(1, this.#stepCount);
    return mean;
  }

  report(
    rest: Pick<
      Report,
      'seed' | 'initialWeightsSha256' | 'steps' | 'epochs' | 'weightsSha256' | 'train' | 'validation' | 'test'
    > & {
      imagesSeen: number;
      wallSeconds: number;
      imagesTrainedHere: number;
    },
  ): Report {
    const { imagesTrainedHere, ...fields } = rest;
    return {
      lockstepVersion,
      ...fields,
      imagesPerSecond: this.trainingMs > 0 ? (1000 * imagesTrainedHere) / this.trainingMs : 0,
      engines: [...this.#engines.values()],
      exact: this.exact,
      workersJoined: this.workersJoined,
      workersLost: this.workersLost,
      slicesReassigned: this.slicesReassigned,
      resumedAtSteps: this.#resumedAtSteps,
      stragglers: this.stragglers,
      slicesDuplicated: this.slicesDuplicated,
      workers: this.workers,
      bytesSent: this.bytesSent,
      bytesReceived: this.bytesReceived,
      phases: this.meanPhases(),
    };
  }
}

function zeroPhases(): StepPhases {
  return { waitForWeights: 0, augment: 0, compute: 0, add: 0, send: 0, reduce: 0, update: 0, step: 0 };
}

export const phaseNames = Object.keys(zeroPhases()) as (keyof StepPhases)[];

/** The mean of what the workers tell of themselves; the coordinator's own phases are added to it. */
export function stepPhases(
  workers: readonly { phases: WorkerPhases }[],
  own: Pick<StepPhases, 'reduce' | 'update' | 'step'>,
): StepPhases {
  const mean = (key: keyof WorkerPhases) =>
    workers.reduce((sum, { phases }) => sum + phases[key], 0) / Math.max(1, workers.length);
  return {
    waitForWeights: mean('waitMs'),
    augment: mean('augmentMs'),
    compute: mean('computeMs'),
    add: mean('reduceMs'),
    send: mean('sendMs'),
    ...own,
  };
}

// What a coordinator tells of its run when it is asked: the answer of /status, which commands print and pages show.
import { z } from 'zod';

/**
 * What a run is doing: `waiting` for workers, `training`, `validating`, `testing`, `saving` a checkpoint, `paused` by an
 * operator, or `ended`, when nothing more will change.
 */
export const runPhases = ['waiting', 'training', 'validating', 'testing', 'saving', 'paused', 'ended'] as const;
export type RunPhase = (typeof runPhases)[number];

/**
 * What a worker is doing: `working` on slices or parts of an evaluation; `idle`, it has slices in the running step and has
 * answered them; `spare`, it has none; `late`, its slices were given to others as well, or it is still busy with an
 * earlier step; `lost`, it is not connected any more.
 */
export const workerStates = ['working', 'idle', 'spare', 'late', 'lost'] as const;
export type WorkerState = (typeof workerStates)[number];

const count = z.int().nonnegative();
/** ISO 8601 in UTC, by the coordinator's clock. */
const time = z.iso.datetime();
/** Null where JSON has no number for it (a loss that is NaN) or there is none yet. */
const measured = z.number().nullable();

const evaluated = z.object({ step: count, loss: measured, accuracy: measured });

/** The parts of a worker's time that went into something, each from 0 to 1; together 1. */
const timeShares = z.object({
  /** Augmenting, computing and adding its own slices. */
  compute: z.number(),
  /** Weights on their way to it, gradients on their way back, and what lies in queues at either end. */
  network: z.number(),
  /** It was asked for nothing: for other workers, the update, a checkpoint. */
  waiting: z.number(),
});
export type TimeShares = z.infer<typeof timeShares>;

const sliceStatus = z.object({
  /** Who was given the slice in this step, by worker id, in that order: more than one where one was lost or late. */
  workers: z.array(count),
  /** Whose answer counted; null while there is none. */
  answeredBy: count.nullable(),
});

const runOfStatus = z.object({
  id: z.string(),
  /** The run's folder, as the coordinator was given it. */
  directory: z.string(),
  phase: z.enum(runPhases),
  /** Updates made, and how many there will be. */
  step: count,
  steps: count,
  stepsPerEpoch: count,
  /** The epoch of the latest update, counted from 1. */
  epoch: count,
  epochs: count,
  batchSize: count,
  /** When this coordinator started; a resumed run began before that. */
  startedAt: time,
  /** Of the latest step's batch: the mean loss, and the part of images that were right. */
  loss: measured,
  accuracy: measured,
  /** Of the latest update, or of the first one before it. */
  learningRate: z.number(),
  validation: evaluated.nullable(),
  test: evaluated.nullable(),
  /** `now`: of the latest step, 0 while nothing is computed. `mean`: over the training time since this coordinator started. */
  imagesPerSecond: z.object({ now: z.number(), mean: z.number() }),
  /** Images that gradients were taken of, over the whole run. */
  imagesSeen: count,
  /** At the pace since the start, without the time spent on waiting; null before the first step. */
  secondsLeft: z.number().nullable(),
  /** How long this coordinator has spent on each phase. */
  secondsIn: z.record(z.enum(runPhases), z.number()),
  /** Whether the weights are still a pure function of configuration and seed. */
  exact: z.boolean(),
  /** To and from all workers since this coordinator started. */
  bytesSent: count,
  bytesReceived: count,
  /** Slices of a running step that went to another worker because theirs left. */
  slicesReassigned: count,
  /** How often a worker was late and its slices were given to others as well; and how many slices those were. */
  stragglers: count,
  slicesDuplicated: count,
  /** Without so many workers the run waits. */
  workersNeeded: count,
  /** Counted over the whole run, like `workersLost`; who comes again is counted again. */
  workersJoined: count,
  workersLost: count,
  /** The newest one; its time is null where it was made before this coordinator started. */
  checkpoint: z.object({ step: count, path: z.string(), time: time.nullable() }).nullable(),
  /** Of the running step, or of the latest while none is running; one entry for each slice, none before the first step. */
  slices: z.array(sliceStatus),
});

const workerStatus = z.object({
  /** Of its connection: a worker that joins again has another. */
  id: count,
  name: z.string(),
  /** Host and port of the other end. */
  address: z.string(),
  state: z.enum(workerStates),
  engine: z.string(),
  /** Everything that its bits depend on. */
  fingerprint: z.string(),
  /** What it computes on, for people. */
  device: z.string(),
  /** Slices that it was given in the running step. */
  slices: z.array(count),
  /** Slices of which it has the images. */
  shards: z.array(count),
  /** While it computes: the median of its latest answers; 0 before the first. */
  imagesPerSecond: z.number(),
  /** Images whose gradients counted, of all workers of this name. */
  images: count,
  /** Over its latest answers; null before the first. */
  timeShares: timeShares.nullable(),
  bytesSent: count,
  bytesReceived: count,
  /** Since anything was heard of it; of a lost one, since it was lost. */
  lastSeenSecondsAgo: z.number(),
  joinedAt: time,
  /** How often a worker of this name was lost, and came again after that. */
  timesLost: count,
  timesRejoined: count,
  /** Why it is not here any more. */
  lostReason: z.string().nullable(),
});
export type WorkerStatus = z.infer<typeof workerStatus>;

/** The answer of /status. Later versions may say more: what is not known here is passed over. */
export const runStatus = z.object({
  lockstepVersion: z.string(),
  /** When the answer was made. */
  time,
  run: runOfStatus,
  /** Those that are here in the order in which they joined, then the names that are not here any more. */
  workers: z.array(workerStatus),
});
export type RunStatus = z.infer<typeof runStatus>;

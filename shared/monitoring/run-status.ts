// The answer of /status: the state of a run, for commands and pages.
import { z } from 'zod';

/**
 * The phase of a run: `waiting` for workers, `training`, `validating`, `testing`, `saving` a checkpoint, `paused` by an
 * operator, or `ended`.
 */
export const runPhases = ['waiting', 'training', 'validating', 'testing', 'saving', 'paused', 'ended'] as const;
export type RunPhase = (typeof runPhases)[number];

/**
 * The state of a worker: `working` on slices or an evaluation; `idle` after answering its slices of the current step; `spare`,
 * without slices; `late`, because its slices were also assigned to others or it is still busy with an earlier step; `lost`,
 * not connected any more.
 */
export const workerStates = ['working', 'idle', 'spare', 'late', 'lost'] as const;
export type WorkerState = (typeof workerStates)[number];

const count = z.int().nonnegative();
/** ISO 8601 in UTC, by the coordinator's clock. */
const time = z.iso.datetime();
/** Null if there is no value yet, or if it is not finite. */
const measured = z.number().nullable();

const evaluated = z.object({ step: count, loss: measured, accuracy: measured });

/** Shares of a worker's recent time, which add up to 1. */
const timeShares = z.object({
  /** Augmenting, computing and adding up slices. */
  compute: z.number(),
  /** Transfer of weights and gradients, including queues at both ends. */
  network: z.number(),
  /** Without an assignment: during the update or a checkpoint, or while other workers compute. */
  waiting: z.number(),
});
export type TimeShares = z.infer<typeof timeShares>;

const sliceStatus = z.object({
  /** Ids of the workers that the slice was assigned to, in order; several if one was lost or late. */
  workers: z.array(count),
  /** The worker whose answer counted; null before it has arrived. */
  answeredBy: count.nullable(),
});

const runOfStatus = z.object({
  id: z.string(),
  /** The run directory, as given. */
  directory: z.string(),
  phase: z.enum(runPhases),
  /** Number of updates made, and in the whole run. */
  step: count,
  steps: count,
  stepsPerEpoch: count,
  /** The epoch of the latest update, counted from 1. */
  epoch: count,
  epochs: count,
  batchSize: count,
  /** When this coordinator started. A resumed run started earlier. */
  startedAt: time,
  /** Metrics of the latest global batch. */
  loss: measured,
  accuracy: measured,
  /** Of the latest update; before the first update, of the next one. */
  learningRate: z.number(),
  validation: evaluated.nullable(),
  test: evaluated.nullable(),
  /** `now` is for the latest step, or 0 if the run waits; `mean` is over the training time since this coordinator started. */
  imagesPerSecond: z.object({ now: z.number(), mean: z.number() }),
  /** Number of images trained on, over the whole run. */
  imagesSeen: count,
  /** Estimated from the pace since the start, without time spent waiting; null before the first step. */
  secondsLeft: z.number().nullable(),
  /** Seconds that this coordinator has spent in each phase. */
  secondsIn: z.record(z.enum(runPhases), z.number()),
  /** Whether the weights are a pure function of configuration and seed so far. */
  exact: z.boolean(),
  /** Exchanged with all workers since this coordinator started. */
  bytesSent: count,
  bytesReceived: count,
  /** Number of slices that were reassigned because their worker left. */
  slicesReassigned: count,
  /** How often a worker was a straggler, and how many of its slices were also assigned to others. */
  stragglers: count,
  slicesDuplicated: count,
  /** The number of workers without which the run waits. */
  workersNeeded: count,
  /** Over the whole run, like `workersLost`. A worker that rejoins is counted again. */
  workersJoined: count,
  workersLost: count,
  /** The newest checkpoint; `time` is null if it was saved before this coordinator started. */
  checkpoint: z.object({ step: count, path: z.string(), time: time.nullable() }).nullable(),
  /** One entry per slice of the current step, or between steps of the last one; empty before the first step. */
  slices: z.array(sliceStatus),
});

const workerStatus = z.object({
  /** Identifies the connection: a worker that rejoins has another id. */
  id: count,
  name: z.string(),
  /** Host and port of the other end. */
  address: z.string(),
  state: z.enum(workerStates),
  engine: z.string(),
  /** Everything that the engine's bits depend on. */
  fingerprint: z.string(),
  /** The device, for display. */
  device: z.string(),
  /** Slices assigned to it in the current step. */
  slices: z.array(count),
  /** Training shards that it holds, by slice. */
  shards: z.array(count),
  /** Median rate over its latest answers, while it computes; 0 before the first answer. */
  imagesPerSecond: z.number(),
  /** Number of images whose gradients counted, over all workers of this name. */
  images: count,
  /** Over its latest answers; null before the first answer. */
  timeShares: timeShares.nullable(),
  bytesSent: count,
  bytesReceived: count,
  /** Seconds since the last data from it; for a lost worker, since it was lost. */
  lastSeenSecondsAgo: z.number(),
  joinedAt: time,
  /** How often a worker of this name was lost, and rejoined. */
  timesLost: count,
  timesRejoined: count,
  /** Why it was lost. */
  lostReason: z.string().nullable(),
});
export type WorkerStatus = z.infer<typeof workerStatus>;

/** The answer of /status. Fields that are unknown here, from later versions, are ignored. */
export const runStatus = z.object({
  lockstepVersion: z.string(),
  /** When the snapshot was taken. */
  time,
  run: runOfStatus,
  /** Connected workers in the order in which they joined, then lost ones. */
  workers: z.array(workerStatus),
});
export type RunStatus = z.infer<typeof runStatus>;

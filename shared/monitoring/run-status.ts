// The response of /status: the state of a run, for commands and pages.
import * as z from 'zod';
import { workerStates } from './worker-states.js';

/**
 * The phase of a run: `waiting` for workers, `measuring` their engines to choose one, `training`, `validating`, `testing`, `saving` a checkpoint, `paused` by an
 * operator, or `ended`.
 */
export const runPhases = [
  'waiting',
  'measuring',
  'training',
  'validating',
  'testing',
  'saving',
  'paused',
  'ended',
] as const;
export type RunPhase = (typeof runPhases)[number];

const count = z.int().nonnegative();
/** Time in ISO 8601 format and UTC, by the coordinator's clock. */
const time = z.iso.datetime();
/** Measured value; null if there is none yet, or if it is not finite. */
const measured = z.number().nullable();

const evaluated = z.object({ step: count, loss: measured, accuracy: measured });

/** Shares of a worker's recent time, which add up to 1. */
const timeShares = z.object({
  /** Share of the time spent augmenting, computing and adding up slices. */
  compute: z.number(),
  /** Share of the time spent transferring weights and gradients, including queues at both ends. */
  network: z.number(),
  /** Share of the time without an assignment: during the update or a checkpoint, or while other workers compute. */
  waiting: z.number(),
});
export type TimeShares = z.infer<typeof timeShares>;

const sliceStatus = z.object({
  /**
   * IDs of the workers that the slice was assigned to, in the order of assignment. There are several if a worker was
   * lost or late.
   */
  workers: z.array(count),
  /** ID of the worker whose answer was used; null until it arrives. */
  answeredBy: count.nullable(),
});

const runOfStatus = z.object({
  id: z.string(),
  /** Run directory, as specified by the user. */
  directory: z.string(),
  phase: z.enum(runPhases),
  /** Number of updates made so far; `steps` is their total number in the run. */
  step: count,
  steps: count,
  stepsPerEpoch: count,
  /** One-based index of the epoch that contains the latest update; `epochs` is the number of epochs in the run. */
  epoch: count,
  epochs: count,
  batchSize: count,
  /** Time at which this coordinator started. A resumed run started earlier. */
  startedAt: time,
  /** Loss and accuracy on the latest global batch. */
  loss: measured,
  accuracy: measured,
  /** Learning rate of the latest update, or of the next one if no update has been made. */
  learningRate: z.number(),
  validation: evaluated.nullable(),
  test: evaluated.nullable(),
  /**
   * `now` is the rate in the latest step, or 0 if the run is waiting, paused or ended; `mean` is the rate over the
   * training time since this coordinator started.
   */
  imagesPerSecond: z.object({ now: z.number(), mean: z.number() }),
  /** Number of training images processed over the whole run, counting an image each time it is used. */
  imagesSeen: count,
  /**
   * Estimated seconds until the end of the run, based on the pace since this coordinator started, excluding time
   * spent waiting or paused; null before this coordinator's first step.
   */
  secondsLeft: z.number().nullable(),
  /** Seconds that this coordinator has spent in each phase. */
  secondsIn: z.record(z.enum(runPhases), z.number()),
  /** Whether the weights so far are guaranteed to be a pure function of the configuration and the seed. */
  exact: z.boolean(),
  /** Bytes sent to and received from all workers since this coordinator started. */
  bytesSent: count,
  bytesReceived: count,
  /** Number of slices that were reassigned because their worker left. */
  slicesReassigned: count,
  /**
   * Number of times that a worker was a straggler; `slicesDuplicated` is the number of slices also assigned to others
   * as a result.
   */
  stragglers: count,
  slicesDuplicated: count,
  /** Number of gradient values that were clipped when they were rounded to 8 bits; 0 if the encoding is float32. */
  clippedValues: count,
  /** Minimum number of workers; with fewer, the run waits. */
  workersNeeded: count,
  /**
   * Number of workers that joined over the whole run; `workersLost` is the number that were lost. A worker that rejoins
   * is counted again.
   */
  workersJoined: count,
  workersLost: count,
  /** Newest checkpoint, or null if there is none; `time` is null if it was saved before this coordinator started. */
  checkpoint: z.object({ step: count, path: z.string(), time: time.nullable() }).nullable(),
  /** One entry per slice of the current step or, between steps, of the latest step; empty before the first step. */
  slices: z.array(sliceStatus),
});

const workerStatus = z.object({
  /** ID of the connection. A worker that rejoins gets a different ID. */
  id: count,
  name: z.string(),
  /** Host and port of the worker's end of the connection. */
  address: z.string(),
  state: z.enum(workerStates),
  engine: z.string(),
  /** Everything that the engine's bits depend on. */
  fingerprint: z.string(),
  /** Description of the device, for display. */
  device: z.string(),
  /** Indices of the slices assigned to the worker in the current step. */
  slices: z.array(count),
  /** Slice indices of the training shards that the worker holds. */
  shards: z.array(count),
  /** Median rate while computing, over the worker's latest answers; 0 before the first answer. */
  imagesPerSecond: z.number(),
  /** Number of images whose gradients were used, over all connections of workers with this name. */
  images: count,
  /** How the worker spent its time, over its latest answers; null before the first answer. */
  timeShares: timeShares.nullable(),
  /**
   * Bytes that the worker was sent, and those received from it, over this connection. For a worker behind a relay, by the
   * relay.
   */
  bytesSent: count,
  bytesReceived: count,
  /** The same per second, over the last seconds. */
  sentBytesPerSecond: z.number(),
  receivedBytesPerSecond: z.number(),
  /** Seconds since data last arrived from the worker; for a lost worker, seconds since it was lost. */
  lastSeenSecondsAgo: z.number(),
  joinedAt: time,
  /** Number of times that a worker with this name was lost; `timesRejoined` is the number of times that it rejoined. */
  timesLost: count,
  timesRejoined: count,
  /** Reason why the worker was lost; null if it was not. */
  lostReason: z.string().nullable(),
  /**
   * Name of the relay that the worker computes behind; null if it is connected to the coordinator. The relay reports its
   * workers at the heartbeat interval, without their shards. Slices, speed and images of the relay include theirs.
   */
  relay: z.string().nullable(),
  /** Number of workers behind this relay; null if this is an ordinary worker. */
  relayedWorkers: count.nullable(),
});
export type WorkerStatus = z.infer<typeof workerStatus>;

/** Schema of the response of /status. Ignores fields unknown to this version, which later versions may add. */
export const runStatus = z.object({
  lockstepVersion: z.string(),
  /** Time at which the snapshot was taken. */
  time,
  run: runOfStatus,
  /**
   * Connected workers and relays, in the order in which they joined, each relay followed by its workers; then lost workers
   * and relays.
   */
  workers: z.array(workerStatus),
});
export type RunStatus = z.infer<typeof runStatus>;

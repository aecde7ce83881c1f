// The messages between coordinator and workers: one union per direction, each message a sentence in the speaker's
// voice. Headers are validated here, as they come off the socket, and trusted afterwards.
import { z } from 'zod';
import { workerConfigSchema } from '../config/config.js';
import { ProtocolError } from '../errors.js';
import type { ModelLayout } from '../network/layout.js';
import { maxHeaderBytes } from './frame.js';

/** Both sides must have the same version. Incremented with every change to a message or its meaning. */
export const protocolVersion = 6;

/** Largest chunk of a shard. */
export const chunkBytes = 1 << 20;
/**
 * Shards that are not needed yet are requested in chunks of this size, one at a time, so that other messages need not
 * wait long.
 */
export const prefetchChunkBytes = 1 << 18;

/** Largest shard that a worker accepts. CIFAR-10 in one shard is 154 MB. */
const maxShardBytes = 1 << 30;

/** Largest number of shards in a hello. */
export const maxCachedShards = 10_000;

/** Stands for the class of an image whose logits are all NaN. */
export const noClass = 255;

const count = z.int().nonnegative();
/** May be NaN or infinite: the run reports that as divergence, not as an invalid message. */
const lossSum = z.custom<number>((value) => typeof value === 'number', 'expected a number');
const milliseconds = z.number().nonnegative();
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const name = z.string().min(1).max(200);
const sentence = z.string().max(2000);
const split = z.enum(['training', 'validation', 'test']);
const alignedRange = z.strictObject({ first: count, count: z.int().positive() });

/** A set of a split's images that workers fetch and cache as one. */
const shard = z.strictObject({ split, index: count, sha256, bytes: z.int().positive().max(maxShardBytes) });
export type Shard = z.infer<typeof shard>;
export type Split = z.infer<typeof split>;

const refusalCode = z.enum(['protocol-version', 'token', 'fingerprint', 'finished', 'bad-message', 'engine-failed']);
export type RefusalCode = z.infer<typeof refusalCode>;

/** "May I join? This is my engine, and I already have these shards." */
const hello = z.strictObject({
  type: z.literal('hello'),
  protocolVersion: z.int(),
  lockstepVersion: z.string().max(100),
  token: z.string().max(1000),
  name,
  engine: z.strictObject({ engine: name, fingerprint: z.string().min(1).max(1000), device: name }),
  cachedShards: z.array(sha256).max(maxCachedShards),
});
/** "Send me this many bytes of this shard, starting at this offset." */
const shardRequest = z.strictObject({
  type: z.literal('shard-request'),
  sha256,
  offset: count,
  bytes: z.int().positive(),
});
/** "I have this shard now and will not request it again." */
const shardHeld = z.strictObject({ type: z.literal('shard-held'), sha256 });
/** "Here is the partial sum over this range: the gradient, followed by the batch statistics of each slice." */
const gradient = z.strictObject({
  type: z.literal('gradient'),
  step: count,
  range: alignedRange,
  sampleCount: z.int().positive(),
  slices: z.array(z.strictObject({ lossSum, correctCount: count })).min(1),
  phases: z.strictObject({
    waitMs: milliseconds,
    augmentMs: milliseconds,
    computeMs: milliseconds,
    reduceMs: milliseconds,
    sendMs: milliseconds,
  }),
});
const timeSpan = z.strictObject({ startedMs: z.number(), endedMs: z.number() });
/**
 * "This is when I computed the partial sum that comes next, in milliseconds of my own clock." Sent if a compute is
 * `timed`.
 */
const timing = z.strictObject({
  type: z.literal('timing'),
  step: count,
  range: alignedRange,
  /** When the request arrived. The weights had arrived before. */
  receivedMs: z.number(),
  startedMs: z.number(),
  /** When the partial sum was handed to the socket. */
  sentMs: z.number(),
  /** In the order of computation; augmentation, unless it was done in advance, comes first within each. */
  slices: z.array(timeSpan.extend({ slice: count, augmentMs: milliseconds, computeMs: milliseconds })).min(1),
  /** Additions of one gradient to another. */
  additions: z.array(timeSpan),
  /** Work done in advance for a later step, since the previous partial sum. */
  preparations: z.array(timeSpan),
});
/** "Here is the evaluation of this shard, followed by the predicted class of each image, one byte each." */
const evaluation = z.strictObject({
  type: z.literal('evaluation'),
  step: count,
  split,
  index: count,
  sampleCount: z.int().positive(),
  lossSum,
  correctCount: count,
});
/** "I have failed; reassign my work." */
const failure = z.strictObject({ type: z.literal('failure'), message: sentence });
/** "I am leaving; do not wait for my answers." */
const leave = z.strictObject({ type: z.literal('leave'), reason: sentence });

const workerMessage = z.discriminatedUnion('type', [
  hello,
  shardRequest,
  shardHeld,
  timing,
  gradient,
  evaluation,
  failure,
  leave,
]);
/** Worker to coordinator. */
export type WorkerMessage = z.infer<typeof workerMessage>;
export type Hello = z.infer<typeof hello>;
export type GradientMessage = z.infer<typeof gradient>;
export type TimingMessage = z.infer<typeof timing>;
export type EvaluationMessage = z.infer<typeof evaluation>;

/**
 * "Welcome; here is the run's configuration and a list of its shards, followed by the statistics for preprocessing, if
 * it needs any."
 */
const welcome = z.strictObject({
  type: z.literal('welcome'),
  workerId: count,
  runId: name,
  layoutHash: sha256,
  config: workerConfigSchema,
  stepsPerEpoch: z.int().positive(),
  shards: z.array(shard),
});
/** "You may not join, for this reason." */
const refusal = z.strictObject({ type: z.literal('refusal'), code: refusalCode, message: sentence });
/** "Here are the next bytes of a shard that you requested." */
const shardChunk = z.strictObject({ type: z.literal('shard-chunk'), sha256, offset: count });
/** "You may need this shard later: fetch it at low priority." */
const prefetch = z.strictObject({ type: z.literal('prefetch'), sha256 });
/** "Here are the weights for this step, followed by the moving statistics." */
const weights = z.strictObject({ type: z.literal('weights'), step: count });
/** "Compute the partial sums over these ranges with this step's weights; if `timed`, send me their timing too." */
const compute = z.strictObject({
  type: z.literal('compute'),
  step: count,
  ranges: z.array(alignedRange).min(1),
  timed: z.boolean().optional(),
});
/** "Evaluate this shard with this step's weights." */
const evaluate = z.strictObject({ type: z.literal('evaluate'), step: count, split, index: count });
/** "There is no more work; do not reconnect." */
const goodbye = z.strictObject({ type: z.literal('goodbye'), reason: sentence });

const coordinatorMessage = z.discriminatedUnion('type', [
  welcome,
  refusal,
  shardChunk,
  prefetch,
  weights,
  compute,
  evaluate,
  goodbye,
]);
/** Coordinator to worker. */
export type CoordinatorMessage = z.infer<typeof coordinatorMessage>;
export type Welcome = z.infer<typeof welcome>;
export type ComputeMessage = z.infer<typeof compute>;
export type EvaluateMessage = z.infer<typeof evaluate>;

function parse<Message>(schema: z.ZodType<Message>, header: unknown, sender: string): Message {
  const parsed = schema.safeParse(header);
  if (parsed.success) return parsed.data;
  const type: unknown = typeof header === 'object' && header !== null && 'type' in header ? header.type : undefined;
  const shown = typeof type === 'string' ? type.slice(0, 40) : 'unknown';
  const [{ path, message }] = parsed.error.issues;
  const problem = path.length === 0 ? message : `${path.join('.')}: ${message}`;
  throw new ProtocolError(`${sender} sent an invalid message of type ${shown}: ${problem}`);
}

/** Validates a header from a worker. Throws ProtocolError, naming the field. */
export function parseWorkerMessage(header: unknown): WorkerMessage {
  return parse(workerMessage, header, 'a worker');
}

/** Validates a header from the coordinator. Throws ProtocolError, naming the field. */
export function parseCoordinatorMessage(header: unknown): CoordinatorMessage {
  return parse(coordinatorMessage, header, 'the coordinator');
}

/**
 * Returns the protocol version in a hello, or undefined if there is none. Read before the rest, because a hello of
 * another version may have other fields.
 */
export function protocolVersionIn(header: unknown): number | undefined {
  if (typeof header !== 'object' || header === null) return undefined;
  if (!('type' in header) || header.type !== 'hello' || !('protocolVersion' in header)) return undefined;
  return typeof header.protocolVersion === 'number' ? header.protocolVersion : undefined;
}

/** The longest header with its length and padding. */
const headerAllowanceBytes = maxHeaderBytes + 16;

/** Longest message from a worker: the gradient over all slices, with the batch statistics of each. */
export function maxWorkerMessageBytes(layout: ModelLayout, sliceCount: number): number {
  return 4 * (layout.trainableSize + layout.statisticsSize * sliceCount) + headerAllowanceBytes;
}

/** Longest message from a coordinator after the welcome: the weights or a chunk of a shard. */
export function maxCoordinatorMessageBytes(layout: ModelLayout): number {
  return Math.max(4 * (layout.trainableSize + layout.statisticsSize), chunkBytes) + headerAllowanceBytes;
}

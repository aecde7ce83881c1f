// Messages between the coordinator and workers: one union per direction, with each message documented as a sentence in
// the sender's voice. Headers are validated here, as they arrive, and trusted afterward.
import * as z from 'zod';
import { workerConfigSchema } from '../config/config.js';
import { datasetDescription } from '../dataset/description-schema.js';
import { encodings, type Encoding } from '../encoding/encodings.js';
import { PartialSumFormat, sumEncodingOf } from '../encoding/partial-sum.js';
import { ProtocolError } from '../errors.js';
import { maxGraphBytes } from '../network/graph-json.js';
import { maxNetworkValues, type ModelLayout } from '../network/layout.js';
import { failureReason, measure, measurement, probe, probeResult, useEngine } from './engines/messages.js';
import { maxHeaderBytes } from './frame.js';
import {
  alignedRange,
  count,
  lossSum,
  name,
  offers,
  partialSumTiming,
  phases,
  sentence,
  sha256,
  split,
} from './message-fields.js';
import {
  relayedStatus,
  relayedTiming,
  relayedWorker,
  relayedWorkerLeft,
  relayedWorkerUnable,
  relayRules,
} from './relay-messages.js';

/**
 * Version of the protocol, which must be the same on both sides. Increment it with every change to a message or its
 * meaning.
 */
export const protocolVersion = 11;

/**
 * Maximum size of a shard chunk in bytes. Weights and requests wait for at most one chunk that is being sent. Chunks of
 * shards that are not needed yet are requested one at a time.
 */
export const chunkBytes = 1 << 18;

/**
 * Maximum size of a shard that a worker accepts, because it receives a whole shard before it computes a slice. 100,000
 * images of 224×224 pixels in a single shard take 14 GiB.
 */
export const maxShardBytes = 16 * 2 ** 30;
/** Maximum total size of a run's shards. The images of ImageNet at 224×224 pixels take 187 GiB. */
export const maxShardsBytes = 256 * 2 ** 30;

/** Maximum number of shards in a hello. */
export const maxCachedShards = 10_000;

/** A set of images from one split that workers fetch and cache as a unit. */
const shard = z.strictObject({ split, index: count, sha256, bytes: z.int().positive().max(maxShardBytes) });
export type Shard = z.infer<typeof shard>;

export function shardsBytesOf(shards: readonly Shard[]): number {
  return shards.reduce((sum, { bytes }) => sum + bytes, 0);
}

export type Split = z.infer<typeof split>;

const refusalCode = z.enum([
  'protocol-version',
  'token',
  'fingerprint',
  'finished',
  'bad-message',
  'engine-failed',
  'relay',
]);
export type RefusalCode = z.infer<typeof refusalCode>;

/**
 * "May I join? I can compute with any one of these engines, and I already have these shards." A relay offers no engines of
 * its own; it reports its workers with `relayed-worker`.
 */
const hello = z
  .strictObject({
    type: z.literal('hello'),
    protocolVersion: z.int(),
    lockstepVersion: z.string().max(100),
    token: z.string().max(1000),
    name,
    engines: offers,
    cachedShards: z.array(sha256).max(maxCachedShards),
    /** Only for a relay: whether `any` worker with a token may join it, or only the processes of its own `host`. */
    relay: z.enum(['any', 'host']).optional(),
  })
  .refine(({ engines, relay }) => engines.length > 0 || relay !== undefined, {
    path: ['engines'],
    message: 'expected at least one engine',
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
/**
 * "Here is the partial sum over this range: the gradient and the batch statistics of each slice, in the format of the run's
 * encoding (see encoding/partial-sum.ts)."
 */
const gradient = z.strictObject({
  type: z.literal('gradient'),
  step: count,
  range: alignedRange,
  sampleCount: z.int().positive(),
  slices: z.array(z.strictObject({ lossSum, correctCount: count })).min(1),
  /** Number of gradient values that exceeded the range of 8-bit integers. Only in a step with gradient scales. */
  clippedCount: count.optional(),
  /** For a relay, the sums over its workers. */
  phases,
  /** Only from a relay: what each of its workers contributed, in the order of their last answers. */
  contributions: z.array(z.strictObject({ name, images: z.int().positive(), phases })).optional(),
});
/**
 * "This is when I computed the partial sum that comes next, in milliseconds by my own clock." Sent if the request to
 * compute is `timed`.
 */
const timing = partialSumTiming.extend({ type: z.literal('timing') });
/** "I have stopped computing for this step, as you asked, and will send no more answers." */
const cancelled = z.strictObject({ type: z.literal('cancelled'), step: count });
/** "Here is the evaluation of this shard, followed by the predicted class of each image (see predictions.ts)." */
const evaluation = z.strictObject({
  type: z.literal('evaluation'),
  step: count,
  split,
  index: count,
  sampleCount: z.int().positive(),
  lossSum,
  correctCount: count,
  /** Number of images whose label is among the five classes with the largest logits. */
  topFiveCount: count,
});
/**
 * "I have failed; reassign my work." The code is `bad-config` if the engine cannot compute the network, as every other
 * engine of its kind.
 */
const failure = z.strictObject({ type: z.literal('failure'), ...failureReason });
/** "I am leaving; do not wait for my answers." */
const leave = z.strictObject({ type: z.literal('leave'), reason: sentence });

/**
 * "I am alive." Both sides send it at the heartbeat interval and answer that of the other side. The time is in
 * milliseconds by the sender's own clock.
 */
const heartbeat = z.strictObject({ type: z.literal('heartbeat'), sentMs: z.number() });
/** "I received the heartbeat that you sent at that time, and answered when my own clock showed this." */
const heartbeatReply = z.strictObject({
  type: z.literal('heartbeat-reply'),
  sentMs: z.number(),
  repliedMs: z.number(),
});
export type HeartbeatMessage = z.infer<typeof heartbeat>;
export type HeartbeatReplyMessage = z.infer<typeof heartbeatReply>;

const workerMessage = z.discriminatedUnion('type', [
  hello,
  relayedWorker,
  relayedWorkerLeft,
  relayedWorkerUnable,
  relayedStatus,
  relayedTiming,
  probeResult,
  measurement,
  shardRequest,
  shardHeld,
  timing,
  gradient,
  cancelled,
  evaluation,
  failure,
  leave,
  heartbeat,
  heartbeatReply,
]);
/** A message from a worker to the coordinator. */
export type WorkerMessage = z.infer<typeof workerMessage>;
export type Hello = z.infer<typeof hello>;
export type ProbeResultMessage = z.infer<typeof probeResult>;
export type MeasurementMessage = z.infer<typeof measurement>;
export type GradientMessage = z.infer<typeof gradient>;
export type TimingMessage = z.infer<typeof timing>;
export type FailureMessage = z.infer<typeof failure>;
export type EvaluationMessage = z.infer<typeof evaluation>;

/**
 * "Welcome; here is the run's configuration, what its images are, and a list of its shards, followed by the statistics for
 * preprocessing, if it needs any, and the network's graph as JSON."
 */
const welcome = z.strictObject({
  type: z.literal('welcome'),
  workerId: count,
  runId: name,
  /** Size of the network's graph, in bytes. */
  networkBytes: z.int().positive().max(maxGraphBytes),
  layoutHash: sha256,
  config: workerConfigSchema,
  dataset: datasetDescription,
  stepsPerEpoch: z.int().positive(),
  shards: z.array(shard),
  /** Only for relays. */
  relay: relayRules.optional(),
});
/** "You may not join, for this reason." */
const refusal = z.strictObject({ type: z.literal('refusal'), code: refusalCode, message: sentence });
/** "Here are the next bytes of a shard that you requested." */
const shardChunk = z.strictObject({ type: z.literal('shard-chunk'), sha256, offset: count });
/** "You may need this shard later: fetch it at low priority." */
const prefetch = z.strictObject({ type: z.literal('prefetch'), sha256 });
/** "Here are the weights for this step, followed by the moving statistics." */
const weights = z.strictObject({ type: z.literal('weights'), step: count });
/**
 * "Here are the published weights for this step, followed by the moving statistics and, unless the step's gradients travel
 * in float32, the gradient scales." In a run with int8 encoding, gradients are computed with the published weights.
 */
const publishedWeights = z.strictObject({
  type: z.literal('published-weights'),
  step: count,
  gradientEncoding: z.enum(encodings),
});
/**
 * "Add this difference to the published weights for `fromStep`, which you have, to get those for this step: here are the
 * scales of the difference, the moving statistics, the gradient scales, and the difference as 8-bit integers."
 */
const weightsDifference = z.strictObject({
  type: z.literal('weights-difference'),
  step: z.int().positive(),
  fromStep: count,
});
/** "Compute the partial sums over these ranges with this step's weights; if `timed`, send me their timing too." */
const compute = z.strictObject({
  type: z.literal('compute'),
  step: count,
  ranges: z.array(alignedRange).min(1),
  timed: z.boolean().optional(),
});
/**
 * "I have all the answers to this step: stop computing them." The worker answers with `cancelled`, in place of the answers
 * that it has not sent.
 */
const cancel = z.strictObject({ type: z.literal('cancel'), step: count });
/** "Evaluate this shard with this step's weights." */
const evaluate = z.strictObject({ type: z.literal('evaluate'), step: count, split, index: count });
/** "There is no more work; do not reconnect." */
const goodbye = z.strictObject({ type: z.literal('goodbye'), reason: sentence });

const coordinatorMessage = z.discriminatedUnion('type', [
  welcome,
  refusal,
  probe,
  measure,
  useEngine,
  shardChunk,
  prefetch,
  weights,
  publishedWeights,
  weightsDifference,
  compute,
  cancel,
  evaluate,
  goodbye,
  heartbeat,
  heartbeatReply,
]);
/** A message from the coordinator to a worker. */
export type CoordinatorMessage = z.infer<typeof coordinatorMessage>;
export type Welcome = z.infer<typeof welcome>;
export type PublishedWeightsMessage = z.infer<typeof publishedWeights>;
export type WeightsDifferenceMessage = z.infer<typeof weightsDifference>;
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

/** Validates a header from a worker. Throws a ProtocolError that names the invalid field. */
export function parseWorkerMessage(header: unknown): WorkerMessage {
  return parse(workerMessage, header, 'a worker');
}

/** Validates a header from the coordinator. Throws a ProtocolError that names the invalid field. */
export function parseCoordinatorMessage(header: unknown): CoordinatorMessage {
  return parse(coordinatorMessage, header, 'the coordinator');
}

/**
 * Returns the protocol version in a hello, or undefined if there is none. It is read before the rest is validated,
 * because a hello with a different version may have different fields.
 */
export function protocolVersionIn(header: unknown): number | undefined {
  if (typeof header !== 'object' || header === null) return undefined;
  if (!('type' in header) || header.type !== 'hello' || !('protocolVersion' in header)) return undefined;
  return typeof header.protocolVersion === 'number' ? header.protocolVersion : undefined;
}

/** Maximum size of a header, with its length field and padding. */
const headerAllowanceBytes = maxHeaderBytes + 16;

/**
 * Maximum size of a message from the coordinator: the weights of the largest network. After the welcome, a worker applies
 * the lower limit that follows from its network.
 */
export const maxMessageBytes = 4 * maxNetworkValues + headerAllowanceBytes;

/**
 * Returns the maximum size of a message from a worker: the gradient over all slices, with the batch statistics of each. In
 * every encoding, a run's first gradient travels in float32.
 */
export function maxWorkerMessageBytes(layout: ModelLayout, sliceCount: number, encoding: Encoding): number {
  return (
    4 * new PartialSumFormat(layout, sumEncodingOf(encoding, undefined)).payloadFloats(sliceCount) +
    headerAllowanceBytes
  );
}

/**
 * Returns the maximum size of a message from the coordinator after the welcome: the weights, with the gradient scales
 * unless the encoding is float32, or a shard chunk.
 */
export function maxCoordinatorMessageBytes(layout: ModelLayout, encoding: Encoding): number {
  const scales = encoding === 'float32' ? 0 : layout.weights.length;
  return Math.max(4 * (layout.weightsSize + layout.statisticsSize + scales), chunkBytes) + headerAllowanceBytes;
}

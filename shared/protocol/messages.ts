// What coordinator and workers say to each other: one union per direction, a sentence each in the speaker's voice.
// Headers are parsed here, where they come off the socket; behind it they are trusted.
import { z } from 'zod';
import { workerConfigSchema } from '../config/config.js';
import { ProtocolError } from '../errors.js';
import type { ModelLayout } from '../network/layout.js';
import { maxHeaderBytes } from './frame.js';

/** Two sides talk only if these are equal. It grows with every change to a message or to what it means. */
export const protocolVersion = 6;

/** Shards travel in chunks of at most this many bytes. */
export const chunkBytes = 1 << 20;
/** What is fetched beforehand is asked for in chunks of this many bytes, one at a time: nothing waits long behind one. */
export const prefetchChunkBytes = 1 << 18;

/** A worker makes room for a shard before it comes: not for one larger than this. CIFAR-10 in one shard is 154 MB. */
const maxShardBytes = 1 << 30;

/** A hello names at most this many shards. */
export const maxCachedShards = 10_000;

/** Instead of a class, of an image whose logits are no numbers. */
export const noClass = 255;

const count = z.int().nonnegative();
/** A loss may be NaN or infinite: that is the run's business to tell, not a broken message. */
const lossSum = z.custom<number>((value) => typeof value === 'number', 'expected a number');
const milliseconds = z.number().nonnegative();
const moment = z.number();
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const name = z.string().min(1).max(200);
const sentence = z.string().max(2000);
const split = z.enum(['training', 'validation', 'test']);
const alignedRange = z.strictObject({ first: count, count: z.int().positive() });

/** A contiguous set of images that travels and is cached as one: a shard, or a part of an evaluation split. */
const shard = z.strictObject({ split, index: count, sha256, bytes: z.int().positive().max(maxShardBytes) });
export type Shard = z.infer<typeof shard>;
export type Split = z.infer<typeof split>;

const refusalCode = z.enum(['protocol-version', 'token', 'fingerprint', 'finished', 'bad-message', 'engine-failed']);
export type RefusalCode = z.infer<typeof refusalCode>;

/** "May I join? This is what I compute with, and these shards I hold already." */
const hello = z.strictObject({
  type: z.literal('hello'),
  protocolVersion: z.int(),
  lockstepVersion: z.string().max(100),
  token: z.string().max(1000),
  name,
  engine: z.strictObject({ engine: name, fingerprint: z.string().min(1).max(1000), device: name }),
  cachedShards: z.array(sha256).max(maxCachedShards),
});
/** "Send me so many bytes of this shard from here on." */
const shardRequest = z.strictObject({
  type: z.literal('shard-request'),
  sha256,
  offset: count,
  bytes: z.int().positive(),
});
/** "I have this shard now, and will not ask for it again." */
const shardHeld = z.strictObject({ type: z.literal('shard-held'), sha256 });
/** "The sum over this range of the tree; the gradient and each slice's batch statistics follow." */
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
const timeSpan = z.strictObject({ startedMs: moment, endedMs: moment });
/**
 * "This is when I did what I am about to answer, by my own clock." Said if a compute asked for it. Milliseconds from some
 * moment on that all times of one worker share.
 */
const timing = z.strictObject({
  type: z.literal('timing'),
  step: count,
  range: alignedRange,
  /** When it was asked for this, and the weights were here. */
  receivedMs: moment,
  startedMs: moment,
  /** When the answer was handed to the socket. */
  sentMs: moment,
  /** In the order in which they were computed. Augmenting comes first, as far as it was not done beforehand. */
  slices: z
    .array(
      timeSpan.extend({
        slice: count,
        augmentMs: milliseconds,
        computeMs: milliseconds,
      }),
    )
    .min(1),
  /** Of one slice's gradient to another's. */
  additions: z.array(timeSpan),
  /** What was done beforehand since the answer before this one. */
  preparations: z.array(timeSpan),
});
/** "This part of the split, forward only; the class that each image was taken for follows, a byte each." */
const evaluation = z.strictObject({
  type: z.literal('evaluation'),
  step: count,
  split,
  index: count,
  sampleCount: z.int().positive(),
  lossSum,
  correctCount: count,
});
/** "I cannot go on; give my work to others." */
const failure = z.strictObject({ type: z.literal('failure'), message: sentence });
/** "I am leaving; nothing of mine is to be waited for." */
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
 * "You are in; this is the run, and these are the shards you may be asked about. What preprocessing subtracts and divides
 * by follows, where it was measured."
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
/** "You are not in, and this is why and what mends it." */
const refusal = z.strictObject({ type: z.literal('refusal'), code: refusalCode, message: sentence });
/** "The next bytes of a shard you asked for follow." */
const shardChunk = z.strictObject({ type: z.literal('shard-chunk'), sha256, offset: count });
/** "You may need this shard one day: fetch it, but let everything else go first." */
const prefetch = z.strictObject({ type: z.literal('prefetch'), sha256 });
/** "The weights before this step follow, then the moving statistics." */
const weights = z.strictObject({ type: z.literal('weights'), step: count });
/** "Compute these ranges of this step with the weights I sent for it; and tell me when you did what, if it is timed." */
const compute = z.strictObject({
  type: z.literal('compute'),
  step: count,
  ranges: z.array(alignedRange).min(1),
  timed: z.boolean().optional(),
});
/** "Evaluate this part of the split with the weights I sent for this step." */
const evaluate = z.strictObject({ type: z.literal('evaluate'), step: count, split, index: count });
/** "We are done with each other; do not come back." */
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
  const issue = parsed.error.issues[0];
  const type: unknown = typeof header === 'object' && header !== null && 'type' in header ? header.type : undefined;
  throw new ProtocolError(
    `${sender} sent a message of type ${typeof type === 'string' ? type.slice(0, 40) : 'no'} that this version does not know: ` +
      `${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`,
  );
}

/** Throws ProtocolError, naming the field, for anything that is not a worker's message. */
export function parseWorkerMessage(header: unknown): WorkerMessage {
  return parse(workerMessage, header, 'a worker');
}

/** Throws ProtocolError, naming the field, for anything that is not a coordinator's message. */
export function parseCoordinatorMessage(header: unknown): CoordinatorMessage {
  return parse(coordinatorMessage, header, 'the coordinator');
}

/**
 * A hello from a worker of another protocol version may have other fields, so its version is read before the rest.
 * @returns undefined where there is none
 */
export function protocolVersionIn(header: unknown): number | undefined {
  if (typeof header !== 'object' || header === null) return undefined;
  if (!('type' in header) || header.type !== 'hello' || !('protocolVersion' in header)) return undefined;
  return typeof header.protocolVersion === 'number' ? header.protocolVersion : undefined;
}

/** A payload comes behind the longest header that is read, its length and its padding. */
const headerAllowanceBytes = maxHeaderBytes + 16;

/** The longest message a worker may send: a gradient over all slices with each slice's batch statistics. */
export function maxWorkerMessageBytes(layout: ModelLayout, sliceCount: number): number {
  return 4 * (layout.trainableSize + layout.statisticsSize * sliceCount) + headerAllowanceBytes;
}

/** The longest message a coordinator may send once a worker knows the model: the weights or a chunk of a shard. */
export function maxCoordinatorMessageBytes(layout: ModelLayout): number {
  return Math.max(4 * (layout.trainableSize + layout.statisticsSize), chunkBytes) + headerAllowanceBytes;
}

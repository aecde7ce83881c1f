import { describe, expect, it } from 'vitest';
import { cifar10Description } from '../../../shared/dataset/cifar10-layout.js';
import { resolveConfig, workerConfigOf } from '../../../shared/config/config.js';
import { ProtocolError } from '../../../shared/errors.js';
import { decodeFrame, encodeFrame, OutgoingFrame } from '../../../shared/protocol/frame.js';
import {
  chunkBytes,
  maxCoordinatorMessageBytes,
  maxWorkerMessageBytes,
  parseCoordinatorMessage,
  parseWorkerMessage,
  protocolVersion,
  protocolVersionIn,
  type CoordinatorMessage,
  type WorkerMessage,
} from '../../../shared/protocol/messages.js';
import { KeyedRandom } from '../../../shared/random.js';
import { resnetLayout } from '../../support/resnet-layout.js';

const hash = '0123456789abcdef'.repeat(4);
const spec = { depth: 20, initialFilters: 16, shortcut: 'identity', convBias: true, bnEpsilon: 0.001 } as const;

const hello = {
  type: 'hello',
  protocolVersion,
  lockstepVersion: '0.1.0',
  token: '',
  name: 'attic-1',
  engines: [{ engine: 'fake', fingerprint: 'fake/1', device: 'a fake device' }],
  cachedShards: [hash],
} as const;

const gradient = {
  type: 'gradient',
  step: 63_999,
  range: { first: 2, count: 2 },
  sampleCount: 64,
  slices: [
    { lossSum: 73.68, correctCount: 3 },
    { lossSum: 0, correctCount: 0 },
  ],
  phases: { waitMs: 1.5, augmentMs: 0, computeMs: 20.25, reduceMs: 0.1, sendMs: 3 },
} as const;

const span = { startedMs: 12.5, endedMs: 14 };
const timing = {
  type: 'timing',
  step: 63_999,
  range: { first: 2, count: 1 },
  receivedMs: 10,
  startedMs: 12.5,
  sentMs: 20,
  slices: [{ ...span, slice: 2, augmentMs: 0, computeMs: 1.5 }],
  additions: [span],
  preparations: [],
} as const;

const workerMessages: readonly object[] = [
  hello,
  { type: 'measurement', speeds: [{ fingerprint: 'fake/1', imagesPerSecond: 0.5 }] },
  { type: 'measurement', speeds: [] },
  { type: 'probe-result', fingerprint: 'fake/1', probed: 'fake/1; probe=0123456789abcdef' },
  { type: 'probe-result', fingerprint: 'fake/1', failure: { code: 'bad-config', message: 'no pooling' } },
  timing,
  { type: 'shard-request', sha256: hash, offset: 3 * chunkBytes, bytes: 1 },
  { type: 'shard-held', sha256: hash },
  gradient,
  {
    type: 'evaluation',
    step: 0,
    split: 'test',
    index: 39,
    sampleCount: 250,
    lossSum: 576.1,
    correctCount: 31,
    topFiveCount: 140,
  },
  { type: 'failure', code: 'engine-failed', message: 'out of memory' },
  { type: 'leave', reason: 'lunch' },
] satisfies readonly Readonly<Frozen<WorkerMessage>>[];

const welcome = {
  type: 'welcome',
  workerId: 1,
  runId: 'run-1',
  networkBytes: 1000,
  layoutHash: hash,
  config: workerConfigOf(resolveConfig({ seed: 2 ** 53 - 1 })),
  dataset: cifar10Description,
  stepsPerEpoch: 351,
  shards: [{ split: 'training', index: 0, sha256: hash, bytes: 3073 }],
} as const;

const coordinatorMessages: readonly object[] = [
  welcome,
  { type: 'refusal', code: 'token', message: 'no token was given' },
  { type: 'probe', fingerprint: 'fake/1' },
  { type: 'shard-chunk', sha256: hash, offset: 0 },
  { type: 'prefetch', sha256: hash },
  { type: 'weights', step: 1 },
  { type: 'published-weights', step: 1, gradientEncoding: 'int8' },
  { type: 'weights-difference', step: 1, fromStep: 0 },
  { type: 'compute', step: 1, ranges: [{ first: 0, count: 4 }] },
  { type: 'evaluate', step: 351, split: 'validation', index: 0 },
  { type: 'goodbye', reason: 'the run has ended' },
] satisfies readonly Readonly<Frozen<CoordinatorMessage>>[];

/** A message type with read-only fields and lists, so that the `as const` literals above satisfy it. */
type Frozen<T> = T extends readonly (infer Item)[]
  ? readonly Frozen<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: Frozen<T[Key]> }
    : T;

/** Messages that both sides send. */
const heartbeats: readonly object[] = [
  { type: 'heartbeat', sentMs: 12.5 },
  { type: 'heartbeat-reply', sentMs: 12.5, repliedMs: -3 },
] satisfies readonly (WorkerMessage & CoordinatorMessage)[];

const directions = [
  {
    speaker: 'a worker',
    parse: parseWorkerMessage,
    messages: [...workerMessages, ...heartbeats],
    others: coordinatorMessages,
  },
  {
    speaker: 'the coordinator',
    parse: parseCoordinatorMessage,
    messages: [...coordinatorMessages, ...heartbeats],
    others: workerMessages,
  },
];

describe.each(directions)('a message from $speaker', ({ speaker, parse, messages, others }) => {
  it('is decoded to what was encoded', () => {
    for (const message of messages) expect(parse(decodeFrame(encodeFrame(message)).header)).toEqual(message);
  });

  it('must not have unknown fields', () => {
    for (const message of messages) expect(() => parse({ ...message, extra: 1 })).toThrow(ProtocolError);
  });

  it('must have all fields', () => {
    for (const message of messages) {
      for (const key of Object.keys(message)) {
        const rest = Object.fromEntries(Object.entries(message).filter(([name]) => name !== key));
        expect(() => parse(rest)).toThrow(ProtocolError);
      }
    }
  });

  it('must not have a field of the wrong type', () => {
    for (const message of messages) {
      for (const key of Object.keys(message)) {
        expect(() => parse({ ...message, [key]: { unlike: 'anything' } })).toThrow(ProtocolError);
      }
    }
  });

  it('must not be one that only the other side sends', () => {
    for (const message of others) expect(() => parse(message)).toThrow(ProtocolError);
  });

  it.each([
    [null],
    [undefined],
    [5],
    ['hello'],
    [[]],
    [{}],
    [{ type: 'unknown' }],
    [{ type: 1 }],
    [{ type: null }],
    [{ type: ['hello'] }],
    // Converting this object to a string throws.
    [{ type: { toString: 1, valueOf: 1 } }],
    [new Date(0)],
  ])('must not be %j', (header) => {
    expect(() => parse(header)).toThrow(ProtocolError);
    expect(() => parse(header)).toThrow(`${speaker} sent an invalid message of type `);
  });
});

describe('the error for an invalid message', () => {
  it('names the type and the field', () => {
    expect(() => parseWorkerMessage({ ...gradient, range: { first: 0, count: 0 } })).toThrow(
      /^a worker sent an invalid message of type gradient: range\.count: /,
    );
  });
});

describe('numbers and strings', () => {
  it.each([
    { ...gradient, step: -1 },
    { ...gradient, step: 0.5 },
    { ...gradient, step: 2 ** 53 },
    { ...gradient, range: { first: -1, count: 1 } },
    { ...gradient, range: { first: 0, count: 1, more: 1 } },
    { ...gradient, sampleCount: 0 },
    { ...gradient, slices: [] },
    { type: 'probe-result', fingerprint: 'a', probed: 'b', failure: { code: 'engine-failed', message: '' } },
    { ...gradient, phases: { ...gradient.phases, waitMs: -1 } },
    { type: 'shard-request', sha256: hash.toUpperCase(), offset: 0, bytes: 1 },
    { type: 'shard-request', sha256: `../${hash}`, offset: 0, bytes: 1 },
    { type: 'shard-request', sha256: hash, offset: -1, bytes: 1 },
    { type: 'shard-request', sha256: hash, offset: 0, bytes: 0 },
    { ...hello, name: '' },
    { ...hello, name: 'x'.repeat(201) },
    { ...hello, token: 'x'.repeat(1001) },
    { ...hello, cachedShards: ['short'] },
    { type: 'leave', reason: 'x'.repeat(2001) },
  ])('from a worker that are out of range are refused: %o', (message) => {
    expect(() => parseWorkerMessage(message)).toThrow(ProtocolError);
  });

  it.each([
    { type: 'compute', step: 0, ranges: [] },
    { type: 'refusal', code: 'unknown', message: '' },
    { ...welcome, config: { ...welcome.config, schedule: 'none' } },
    { ...welcome, shards: [{ split: 'training', index: 0, sha256: hash, bytes: 0 }] },
    { ...welcome, config: { ...welcome.config, slices: 0 } },
    { ...welcome, config: { ...welcome.config, flip: 'never' } },
    { ...welcome, config: { ...welcome.config, cropPadding: 4 } },
  ])('from the coordinator that are out of range are refused: %o', (message) => {
    expect(() => parseCoordinatorMessage(message)).toThrow(ProtocolError);
  });
});

describe('protocolVersionIn', () => {
  it('finds the version of a hello whose other fields are unknown', () => {
    expect(protocolVersionIn({ type: 'hello', protocolVersion: 99, other: 1 })).toBe(99);
  });

  it.each([
    [null],
    ['hello'],
    [{}],
    [{ type: 'leave', protocolVersion: 1 }],
    [{ type: 'hello', protocolVersion: '1' }],
  ])('finds none in %j', (header) => {
    expect(protocolVersionIn(header)).toBeUndefined();
  });
});

describe('the limit for messages', () => {
  const layout = resnetLayout({ ...spec, depth: 8, initialFilters: 4 });

  it.each([1, 4, 4096])('from a worker allows the gradient over all of %i slices', (sliceCount) => {
    const frame = new OutgoingFrame(layout.weightsSize + sliceCount * layout.statisticsSize, 40 * sliceCount);
    const slices = Array.from({ length: sliceCount }, () => ({ lossSum: 0.1, correctCount: 4096 }));
    const message = frame.seal({ ...gradient, range: { first: 0, count: sliceCount }, slices });
    expect(message.length).toBeLessThanOrEqual(maxWorkerMessageBytes(layout, sliceCount, 'float32'));
  });

  it('from a worker allows a hello with the maximum number of cached shards', () => {
    const message = encodeFrame({ ...hello, cachedShards: Array(10_000).fill(hash) });
    expect(message.length).toBeLessThanOrEqual(maxWorkerMessageBytes(layout, 1, 'float32'));
  });

  it('from a coordinator allows the weights and a chunk of a shard', () => {
    const resnet110 = resnetLayout({ ...spec, depth: 110 });
    const weightBytes = 4 * (resnet110.weightsSize + resnet110.statisticsSize);
    const weights = encodeFrame({ type: 'weights', step: 64_000 }, new Uint8Array(weightBytes));
    expect(weights.length).toBeLessThanOrEqual(maxCoordinatorMessageBytes(resnet110, 'float32'));
    const chunk = encodeFrame({ type: 'shard-chunk', sha256: hash, offset: 0 }, new Uint8Array(chunkBytes));
    expect(chunk.length).toBeLessThanOrEqual(maxCoordinatorMessageBytes(layout, 'float32'));
  });
});

describe('damaged messages', () => {
  it('are either decoded or refused with a ProtocolError', () => {
    const frames = [...workerMessages, ...coordinatorMessages].map((message) => Buffer.from(encodeFrame(message)));
    const outcomes = { read: 0, refused: 0 };
    for (let trial = 0; trial < 4000; trial++) {
      const random = new KeyedRandom(trial, 'synthesis');
      const damaged = damage(frames[trial % frames.length], frames, random);
      for (const parse of [parseWorkerMessage, parseCoordinatorMessage]) {
        try {
          parse(decodeFrame(damaged).header);
          outcomes.read++;
        } catch (error) {
          if (!(error instanceof ProtocolError)) throw error;
          outcomes.refused++;
        }
      }
    }
    // There must be many of each outcome; otherwise the damage would be too large or too small for a meaningful test.
    expect(outcomes.read).toBeGreaterThan(100);
    expect(outcomes.refused).toBeGreaterThan(4000);
  });
});

/** Changes some bytes of the message, truncates it, or replaces its end with part of another message. */
function damage(frame: Buffer, frames: readonly Buffer[], random: KeyedRandom): Buffer {
  const kind = random.integerAt(0, 3);
  const position = random.integerAt(1, frame.length);
  if (kind === 0) {
    const changed = Buffer.from(frame);
    const changes = 1 + random.integerAt(2, 3);
    for (let change = 0; change < changes; change++) {
      changed[random.integerAt(3 + 2 * change, changed.length)] = random.integerAt(4 + 2 * change, 256);
    }
    return changed;
  }
  if (kind === 1) return frame.subarray(0, position);
  const other = frames[random.integerAt(2, frames.length)];
  return Buffer.concat([frame.subarray(0, position), other.subarray(random.integerAt(3, other.length))]);
}

// The messages and rules that only relays have. Each message is documented as a sentence in the voice of the relay.
import * as z from 'zod';
import { engineNames } from '../engine-names.js';
import { connectedStates } from '../monitoring/worker-states.js';
import {
  alignedRange,
  count,
  fingerprint,
  milliseconds,
  name,
  offers,
  partialSumTiming,
  sentence,
} from './message-fields.js';

/** Maximum number of workers in a relay's status message. */
export const maxStatusesInMessage = 256;
/**
 * "This worker computes behind me now." A relay sends it when a worker joins it, and again when the worker has been told
 * which engine to use.
 */
export const relayedWorker = z.strictObject({
  type: z.literal('relayed-worker'),
  /** Identifies the worker among those of this relay. */
  id: count,
  name,
  address: name,
  engines: offers.min(1),
  /** Fingerprint of the engine that the worker uses; null if it has not been told yet. */
  fingerprint: fingerprint.nullable(),
});
/** "This worker no longer computes behind me, for this reason." */
export const relayedWorkerLeft = z.strictObject({
  type: z.literal('relayed-worker-left'),
  id: count,
  reason: sentence,
  /** Why the worker's engine cannot compute the network, if that is the reason. */
  networkProblem: sentence.optional(),
});
/** "This worker did not join me, because its engine cannot compute the network." */
export const relayedWorkerUnable = z.strictObject({
  type: z.literal('relayed-worker-unable'),
  name,
  address: name,
  reason: sentence,
  networkProblem: sentence,
});
const timeShares = z.strictObject({ compute: z.number(), network: z.number(), waiting: z.number() });
/** "This is what workers behind me are doing." A relay sends it at the heartbeat interval. */
export const relayedStatus = z.strictObject({
  type: z.literal('relayed-status'),
  workers: z
    .array(
      z.strictObject({
        id: count,
        state: z.enum(connectedStates),
        /** Slices of the current step that the worker was assigned. */
        slices: z.array(alignedRange),
        imagesPerSecond: z.number().nonnegative(),
        timeShares: timeShares.nullable(),
        bytesSent: count,
        bytesReceived: count,
        sentBytesPerSecond: z.number().nonnegative(),
        receivedBytesPerSecond: z.number().nonnegative(),
        silentMs: milliseconds,
      }),
    )
    .max(maxStatusesInMessage),
});
/**
 * "This is when a worker behind me computed a partial sum, in milliseconds by my own clock." A relay sends it if the
 * request to compute is `timed`.
 */
export const relayedTiming = z.strictObject({
  type: z.literal('relayed-timing'),
  id: count,
  /** Time at which the relay sent the worker its first assignment of the step. */
  assignedMs: z.number(),
  /** Time at which the partial sum arrived at the relay. */
  arrivedMs: z.number(),
  timing: partialSumTiming,
});
/** What a relay needs to know to admit workers and to give them work as the coordinator does. */
export const relayRules = z.strictObject({
  /** The engine that all workers must use, or `auto` for any. */
  engine: z.enum(engineNames),
  /** The run's fingerprint; null if it has not been chosen yet. */
  fingerprint: fingerprint.nullable(),
  /** Whether workers without this fingerprint are refused. */
  exact: z.boolean(),
  stragglerFactor: z.number().nonnegative(),
  replicas: z.int().positive(),
});
export type RelayRules = z.infer<typeof relayRules>;

export type RelayedWorkerMessage = z.infer<typeof relayedWorker>;
export type RelayedWorkerLeftMessage = z.infer<typeof relayedWorkerLeft>;
export type RelayedWorkerUnableMessage = z.infer<typeof relayedWorkerUnable>;
export type RelayedStatusMessage = z.infer<typeof relayedStatus>;
export type RelayedTimingMessage = z.infer<typeof relayedTiming>;

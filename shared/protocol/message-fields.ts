// Fields that several messages of the protocol have.
import * as z from 'zod';

export const count = z.int().nonnegative();
/** A sum of losses. It may be NaN or infinite, which the run reports as divergence, not as an invalid message. */
export const lossSum = z.custom<number>((value) => typeof value === 'number', 'expected a number');
export const milliseconds = z.number().nonnegative();
export const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
export const name = z.string().min(1).max(200);
export const sentence = z.string().max(2000);
export const split = z.enum(['training', 'validation', 'test']);
export const fingerprint = z.string().min(1).max(1000);
/** Maximum number of engines that a worker offers. */
export const maxEngines = 16;
export const alignedRange = z.strictObject({ first: count, count: z.int().positive() });

export const offers = z
  .array(
    z.strictObject({
      engine: name,
      fingerprint,
      device: name,
      /** True if the fingerprint is complete only after a probe. */
      needsProbe: z.boolean().optional(),
      /** True if only runs that name the engine use it. */
      onlyIfNamed: z.boolean().optional(),
    }),
  )
  .max(maxEngines)
  .refine(haveDistinctFingerprints, 'expected distinct fingerprints');

/** Durations of the phases of a worker's work. */
export const phases = z.strictObject({
  waitMs: milliseconds,
  augmentMs: milliseconds,
  computeMs: milliseconds,
  reduceMs: milliseconds,
  sendMs: milliseconds,
});
const timeSpan = z.strictObject({ startedMs: z.number(), endedMs: z.number() });

/** When a worker computed a partial sum, in milliseconds by one clock. */
export const partialSumTiming = z.strictObject({
  step: count,
  range: alignedRange,
  /** Time at which the request arrived. The weights arrived earlier. */
  receivedMs: z.number(),
  startedMs: z.number(),
  /** Time at which the partial sum was handed to the socket. */
  sentMs: z.number(),
  /** Slices in the order of computation. Each span begins with augmentation, unless it was done in advance. */
  slices: z.array(timeSpan.extend({ slice: count, augmentMs: milliseconds, computeMs: milliseconds })).min(1),
  /** Spans in which one gradient was added to another. */
  additions: z.array(timeSpan),
  /** Spans of work done in advance for a later step, since the previous partial sum. */
  preparations: z.array(timeSpan),
});
export type PartialSumTiming = z.infer<typeof partialSumTiming>;

export function haveDistinctFingerprints(engines: readonly { fingerprint: string }[]): boolean {
  return new Set(engines.map((engine) => engine.fingerprint)).size === engines.length;
}

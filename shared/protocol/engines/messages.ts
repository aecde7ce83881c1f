// Messages about engines; see ../messages.ts.
import * as z from 'zod';
import { fingerprint, haveDistinctFingerprints, maxEngines, sentence } from '../message-fields.js';

export const failureReason = { code: z.enum(['bad-config', 'engine-failed']), message: sentence };
/**
 * "I have computed the probe of this engine of mine: this is its complete fingerprint." Or: "The engine failed at it, for this
 * reason."
 */
export const probeResult = z
  .strictObject({
    type: z.literal('probe-result'),
    /** The fingerprint in the hello. */
    fingerprint,
    probed: fingerprint.optional(),
    failure: z.strictObject(failureReason).optional(),
  })
  .refine(({ probed, failure }) => (probed === undefined) !== (failure === undefined), 'expected probed or failure');
/** "These are the speeds that you asked me to measure." Engines that failed are missing. */
export const measurement = z.strictObject({
  type: z.literal('measurement'),
  speeds: z
    .array(z.strictObject({ fingerprint, imagesPerSecond: z.number().positive().finite() }))
    .max(maxEngines)
    .refine(haveDistinctFingerprints, 'expected distinct fingerprints'),
});
/**
 * "Compute a fixed slice of this run with this engine of yours, and tell me the hash as part of its fingerprint." Sent before
 * the worker joins the run, and before its engine is chosen.
 */
export const probe = z.strictObject({ type: z.literal('probe'), fingerprint });
/** "Measure how fast these engines of yours compute slices of this run." Sent before the run's engine is chosen. */
export const measure = z.strictObject({
  type: z.literal('measure'),
  fingerprints: z.array(fingerprint).min(1).max(maxEngines),
});
/** "Compute this run with this engine of yours." Sent once, before any work. */
export const useEngine = z.strictObject({ type: z.literal('use-engine'), fingerprint });

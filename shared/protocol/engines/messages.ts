// Messages about engines, and the fields that they share with other messages; see ../messages.ts.
import * as z from 'zod';

export const name = z.string().min(1).max(200);
export const sentence = z.string().max(2000);
export const fingerprint = z.string().min(1).max(1000);
/** Maximum number of engines that a worker offers. */
const maxEngines = 16;

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

function haveDistinctFingerprints(engines: readonly { fingerprint: string }[]): boolean {
  return new Set(engines.map((engine) => engine.fingerprint)).size === engines.length;
}

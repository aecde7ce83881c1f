// Chooses the engine of a run from the speeds that the workers measured. Pure.
import type { EngineCandidate, EngineIdentity } from '../../shared/protocol/engine-identity.js';

/** A worker's engines, and the speeds that it measured in images per second, by fingerprint. */
export interface MeasuredWorker {
  offers: readonly EngineIdentity[];
  speeds: ReadonlyMap<string, number>;
  /** Returns how many workers offer an engine; 1 by default. A relay has several workers. */
  workersWith?: ((fingerprint: string) => number) | undefined;
}

/** Minimum speed, as a share of the fastest engine's, at which an engine that more workers offer is preferred. */
const almostAsFast = 0.9;

/**
 * Returns the candidates, with the chosen one first and the others from fast to slow. The choice is the one with the
 * highest total speed or, among those within 10% of it, the one that the most workers offer.
 * @param isAllowed whether the run may use an engine
 */
export function rankEngines(
  workers: readonly MeasuredWorker[],
  isAllowed: (engine: EngineIdentity) => boolean,
): EngineCandidate[] {
  const candidates = new Map<string, EngineCandidate>();
  for (const { offers, speeds, workersWith = () => 1 } of workers) {
    for (const { engine, fingerprint } of offers.filter(isAllowed)) {
      const candidate = candidates.get(fingerprint) ?? { engine, fingerprint, imagesPerSecond: 0, workers: 0 };
      candidate.imagesPerSecond += speeds.get(fingerprint) ?? 0;
      candidate.workers += workersWith(fingerprint);
      candidates.set(fingerprint, candidate);
    }
  }
  const fromFastToSlow = [...candidates.values()].toSorted((a, b) => b.imagesPerSecond - a.imagesPerSecond);
  if (fromFastToSlow.length === 0) return [];
  const enough = almostAsFast * fromFastToSlow[0].imagesPerSecond;
  const chosen = fromFastToSlow
    .filter(({ imagesPerSecond }) => imagesPerSecond >= enough)
    .reduce((best, other) => (other.workers > best.workers ? other : best));
  return [chosen, ...fromFastToSlow.filter((candidate) => candidate !== chosen)];
}

// Chooses the engine of a run from the speeds that the workers measured. Pure.
import type { EngineCandidate, EngineIdentity } from '../../shared/protocol/engine-identity.js';
import { fingerprintsMatch, hiddenFieldsOf } from '../../shared/protocol/engines/probed-fingerprint.js';

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
  const allOffers = workers.flatMap(({ offers, speeds, workersWith = () => 1 }) =>
    offers.filter(isAllowed).map(({ engine, fingerprint }) => ({
      engine,
      fingerprint,
      imagesPerSecond: speeds.get(fingerprint) ?? 0,
      workers: workersWith(fingerprint),
    })),
  );
  const candidates: EngineCandidate[] = [];
  // A device that hides nothing comes first, so that its fingerprint represents those that match it.
  for (const offer of allOffers.toSorted((a, b) => hiddenFieldsOf(a.fingerprint) - hiddenFieldsOf(b.fingerprint))) {
    const candidate = candidates.find(({ fingerprint }) => fingerprintsMatch(fingerprint, offer.fingerprint));
    if (candidate === undefined) {
      candidates.push(offer);
      continue;
    }
    candidate.imagesPerSecond += offer.imagesPerSecond;
    candidate.workers += offer.workers;
  }
  const fromFastToSlow = candidates.toSorted((a, b) => b.imagesPerSecond - a.imagesPerSecond);
  if (fromFastToSlow.length === 0) return [];
  const enough = almostAsFast * fromFastToSlow[0].imagesPerSecond;
  const chosen = fromFastToSlow
    .filter(({ imagesPerSecond }) => imagesPerSecond >= enough)
    .reduce((best, other) => (other.workers > best.workers ? other : best));
  return [chosen, ...fromFastToSlow.filter((candidate) => candidate !== chosen)];
}

// Describes a worker's engine to other processes.

export interface EngineIdentity {
  /** Name of the engine: `tensorflow`, `wasm`, … */
  engine: string;
  /**
   * Everything that the engine's results depend on: version, device model, settings. Engines with equal fingerprints
   * compute the same bits.
   */
  fingerprint: string;
  /** Description of the device, for display: for example `NVIDIA H100 80GB HBM3`, or a processor and a thread count. */
  device: string;
  /**
   * Whether the fingerprint does not suffice to compare engines, because the device may hide what it is. The coordinator
   * then asks for a probe before the worker joins a run that may use this engine; see engines/probed-fingerprint.ts.
   */
  needsProbe?: boolean | undefined;
  /** Whether only runs that name the engine use it, because its device is a CPU that emulates a GPU. */
  onlyIfNamed?: boolean | undefined;
}

/** Returns the name of the engine with a fingerprint. */
export function engineNameIn(fingerprint: string): string {
  return fingerprint.split('/', 1)[0];
}

/** Describes the engine of a worker that offers these, before one has been chosen. */
export function describeOffers(offers: readonly EngineIdentity[]): EngineIdentity {
  if (offers.length === 1) return offers[0];
  const fingerprint = offers.map((offer) => offer.fingerprint).join(' or ');
  return { engine: 'auto', fingerprint, device: offers[0].device };
}

/** Number of workers whose engines have a given fingerprint. */
export interface EngineCount {
  engine: string;
  fingerprint: string;
  workers: number;
}

/** An engine that a run can choose. */
export interface EngineCandidate extends Pick<EngineIdentity, 'engine' | 'fingerprint'> {
  /** Sum over the workers that offer it. */
  imagesPerSecond: number;
  /** Number of workers that offer it. */
  workers: number;
}

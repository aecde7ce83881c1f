// The engines that one worker offers, with what it has been asked about them. Pure.
import { ProtocolError } from '../../../shared/errors.js';
import type { EngineIdentity } from '../../../shared/protocol/engine-identity.js';
import type { MeasurementMessage, ProbeResultMessage } from '../../../shared/protocol/messages.js';

export class WorkerEngines {
  #offers: readonly EngineIdentity[];
  /** Fingerprints of the engines whose probes the worker has not answered yet. */
  readonly #probing = new Set<string>();
  #probeFailure: ProbeResultMessage['failure'];
  #isMeasuring = false;

  constructor(offers: readonly EngineIdentity[]) {
    this.#offers = offers;
  }

  /** The engines in the worker's order of preference, without those that have failed their probes. */
  get offers(): readonly EngineIdentity[] {
    return this.#offers;
  }

  /** Why the last engine that failed its probe did; undefined if none has. */
  get probeFailure(): ProbeResultMessage['failure'] {
    return this.#probeFailure;
  }

  probeRequested(fingerprint: string): void {
    this.#probing.add(fingerprint);
  }

  measurementRequested(): void {
    this.#isMeasuring = true;
  }

  /**
   * Replaces an offer with the probed one, or removes it if the engine has failed. Throws ProtocolError if the probe was not
   * requested.
   * @returns whether this was the last probe that was requested
   */
  probed({ fingerprint, probed, failure }: ProbeResultMessage): boolean {
    if (!this.#probing.delete(fingerprint)) throw new ProtocolError('a worker sent a probe that was not requested');
    this.#offers = this.#offers.flatMap((offer) => {
      if (offer.fingerprint !== fingerprint) return [offer];
      const { needsProbe: _, ...rest } = offer;
      return probed === undefined ? [] : [{ ...rest, fingerprint: probed }];
    });
    this.#probeFailure = failure ?? this.#probeFailure;
    return this.#probing.size === 0;
  }

  /**
   * Returns measured speeds by fingerprint. Throws ProtocolError for speeds that were not requested.
   * @param isRelay whether the worker is a relay, which may have lost the worker that measured an engine
   */
  speedsIn({ speeds }: MeasurementMessage, isRelay: boolean): ReadonlyMap<string, number> {
    if (!this.#isMeasuring) throw new ProtocolError('a worker sent a measurement that was not requested');
    this.#isMeasuring = false;
    const unknown = speeds.find((speed) => !this.#offers.some((offer) => offer.fingerprint === speed.fingerprint));
    if (unknown !== undefined && !isRelay) {
      throw new ProtocolError(`a worker measured ${unknown.fingerprint}, which it does not offer`);
    }
    return new Map(speeds.map(({ fingerprint, imagesPerSecond }) => [fingerprint, imagesPerSecond]));
  }
}

// Which engine a run uses: the rules for admitting workers, before and after the engine has been chosen. Pure.
import { browserEngines, type EngineName } from '../../shared/engine-names.js';
import { engineNameIn, type EngineIdentity } from '../../shared/protocol/engine-identity.js';
import {
  compareFingerprints,
  fingerprintsMatch,
  hidesDevice,
  isProbed,
} from '../../shared/protocol/engines/probed-fingerprint.js';
import type { Refusal } from '../connections/handshake.js';

export interface RunEngineSettings {
  /** The engine that all workers must use, or `auto` for any. */
  engine: EngineName;
  /** The fingerprint that the run has used so far; null if it has not been chosen yet. */
  fingerprint: string | null;
  /** Whether to refuse workers without this fingerprint. */
  exact: boolean;
}

export class RunEngine {
  readonly #settings: RunEngineSettings;
  #fingerprint: string | null;

  constructor(settings: RunEngineSettings) {
    this.#settings = settings;
    this.#fingerprint = settings.fingerprint;
  }

  /** The run's fingerprint; null until it has been chosen. */
  get fingerprint(): string | null {
    return this.#fingerprint;
  }

  choose(fingerprint: string): void {
    this.#fingerprint = fingerprint;
  }

  /** Whether the run may use an engine. An exact run cannot use a device that hides what it is. */
  allows({ engine, fingerprint, onlyIfNamed }: EngineIdentity): boolean {
    const { engine: named, exact } = this.#settings;
    if (exact && hidesDevice(fingerprint)) return false;
    return named === engine || (named === 'auto' && onlyIfNamed !== true);
  }

  /** Returns those of a worker's engines that it has to probe before it joins. */
  needingProbe(offers: readonly EngineIdentity[]): EngineIdentity[] {
    if (this.#fingerprint !== null && !isProbed(this.#fingerprint)) return [];
    return offers.filter((offer) => offer.needsProbe === true && this.allows(offer));
  }

  /** The engine that a worker must use; undefined if it may use any. */
  get required(): string | undefined {
    const { engine, exact } = this.#settings;
    if (engine !== 'auto') return engine;
    return exact && this.#fingerprint !== null ? engineNameIn(this.#fingerprint) : undefined;
  }

  /**
   * Returns why a worker with these engines may not join; undefined if it may.
   * @param hasLink whether it joins with a join link, so that its user cannot choose an engine
   */
  refusalOf(offers: readonly EngineIdentity[], hasLink = false): Refusal | undefined {
    const { engine, exact } = this.#settings;
    const offered = offers.map(({ fingerprint }) => fingerprint).join(' and ');
    const { required } = this;
    if (hasLink && required !== undefined && !offers.some((offer) => offer.engine === required)) {
      return { code: 'fingerprint', message: lacksEngine(required) };
    }
    const hidden = offers.find(
      (offer) => exact && offer.engine === (required ?? offer.engine) && hidesDevice(offer.fingerprint),
    );
    if (hidden !== undefined && !offers.some((offer) => this.allows(offer))) {
      return {
        code: 'fingerprint',
        message:
          `the run is exact, but this worker does not say which device it has (${hidden.fingerprint}): start the run without ` +
          '`exact`, or use a worker in Node.js',
      };
    }
    if (!offers.some((offer) => this.allows(offer))) {
      return {
        code: 'fingerprint',
        message: `the run uses the ${engine} engine, but this worker offers ${offered}: start it with \`engine\` auto or ${engine}`,
      };
    }
    const fingerprint = this.#fingerprint;
    if (!exact || fingerprint === null || this.needingProbe(offers).length > 0) return undefined;
    if (offers.some((offer) => compareFingerprints(offer.fingerprint, fingerprint) === 'exact')) return undefined;
    return {
      code: 'fingerprint',
      message:
        `the run is exact and uses ${fingerprint}, but this worker offers ${offered}: use the same engine, version and ` +
        'settings, or start the run without `exact`',
    };
  }

  /**
   * Returns which of its engines an admitted worker uses: the run's, or the first allowed one if the worker lacks the
   * run's. Returns undefined until the run's engine has been chosen.
   */
  engineFor(offers: readonly EngineIdentity[]): EngineIdentity | undefined {
    const expected = this.#fingerprint;
    if (expected === null) return undefined;
    return (
      offers.find(({ fingerprint }) => fingerprint === expected) ??
      offers.find(({ fingerprint }) => fingerprintsMatch(fingerprint, expected)) ??
      offers.find((offer) => this.allows(offer))
    );
  }
}

/** Tells a browser which engine it lacks, as its user cannot choose another one. */
function lacksEngine(required: string): string {
  if (!browserEngines.some((engine) => engine === required)) {
    return `this run needs the ${required} engine, which browsers do not have: they can join runs that use the ${browserEngines.join(' or the ')} engine`;
  }
  return (
    `this run needs the ${required} engine, which this browser does not offer` +
    (required === 'webgpu' ? ', because it has no WebGPU or no GPU: use another browser or another device' : '')
  );
}

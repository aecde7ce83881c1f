// Which engine a run uses: the rules for admitting workers, before and after the engine has been chosen. Pure.
import { browserEngine, type EngineName } from '../../shared/engine-names.js';
import type { EngineIdentity } from '../../shared/protocol/engine-identity.js';
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

  /** Whether the run may use an engine. */
  allows({ engine }: EngineIdentity): boolean {
    return this.#settings.engine === 'auto' || this.#settings.engine === engine;
  }

  /** The engine that a worker must use; undefined if it may use any. */
  get required(): string | undefined {
    const { engine, exact } = this.#settings;
    if (engine !== 'auto') return engine;
    return exact ? this.#fingerprint?.split('/')[0] : undefined;
  }

  /**
   * Returns why a worker with these engines may not join; undefined if it may.
   * @param hasLink whether it joins with a join link, so that its user cannot choose an engine
   */
  refusalOf(offers: readonly EngineIdentity[], hasLink = false): Refusal | undefined {
    const { engine, exact } = this.#settings;
    const offered = offers.map(({ fingerprint }) => fingerprint).join(' and ');
    const { required } = this;
    if (
      hasLink &&
      required !== undefined &&
      required !== browserEngine &&
      !offers.some((offer) => offer.engine === required)
    ) {
      return {
        code: 'fingerprint',
        message: `this run needs the ${required} engine, which browsers do not have: they can join runs that use the wasm engine`,
      };
    }
    if (!offers.some((offer) => this.allows(offer))) {
      return {
        code: 'fingerprint',
        message: `the run uses the ${engine} engine, but this worker offers ${offered}: start it with \`engine\` auto or ${engine}`,
      };
    }
    const fingerprint = this.#fingerprint;
    if (!exact || fingerprint === null || offers.some((offer) => offer.fingerprint === fingerprint)) return undefined;
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
    if (this.#fingerprint === null) return undefined;
    return (
      offers.find(({ fingerprint }) => fingerprint === this.#fingerprint) ?? offers.find((offer) => this.allows(offer))
    );
  }
}

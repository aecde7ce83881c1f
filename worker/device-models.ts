// Holds a run's models, at most one per engine, and the fingerprints that probes gave the engines. Models outlive the connection, so a worker that rejoins the same run does
// not have to create them again.
import type { Preprocessing } from '../shared/dataset/image-batch.js';
import { graphSha256 } from '../shared/network/graph-json.js';
import type { ModelLayout } from '../shared/network/layout.js';
import type { EngineIdentity } from '../shared/protocol/engine-identity.js';
import { withProbe } from '../shared/protocol/engines/probed-fingerprint.js';
import type { Engine, EngineModel } from './engine.js';

/** Everything that an engine needs to know to create a run's model. */
export interface ModelSpec {
  layout: ModelLayout;
  preprocessing: Preprocessing;
  labelSmoothing: number;
}

export class DeviceModels {
  readonly #engines: readonly Engine[];
  readonly #models = new Map<Engine, EngineModel>();
  /** Engines by the fingerprints that probes gave them. */
  readonly #probed = new Map<string, Engine>();
  /** Identifies the specification that the models were created with. */
  #key = '';

  /** @param engines engines with distinct fingerprints */
  constructor(engines: readonly Engine[]) {
    this.#engines = engines;
  }

  get offers(): EngineIdentity[] {
    return this.#engines.map(({ identity }) => identity);
  }

  /** Returns the engine's identity, or undefined if no engine has this fingerprint. */
  identityOf(fingerprint: string): EngineIdentity | undefined {
    const engine = this.#engineWith(fingerprint);
    return engine && { ...engine.identity, fingerprint };
  }

  /**
   * Completes the fingerprint of an engine with the hash of its probe. From then on, the engine has this fingerprint too.
   * @returns the complete fingerprint
   */
  addProbe(fingerprint: string, sha256: string): string {
    const probed = withProbe(fingerprint, sha256);
    const engine = this.#engineWith(fingerprint);
    if (engine !== undefined) this.#probed.set(probed, engine);
    return probed;
  }

  /** Returns the model of the engine with this fingerprint. Creates it unless it exists. */
  async load(fingerprint: string, { layout, preprocessing, labelSmoothing }: ModelSpec): Promise<EngineModel> {
    const key = JSON.stringify([graphSha256(layout.graph), layout.data, preprocessing, labelSmoothing]);
    if (this.#key !== key) this.dispose();
    this.#key = key;
    const engine = this.#engineWith(fingerprint);
    if (engine === undefined) throw new RangeError(`no engine has the fingerprint ${fingerprint}`);
    const model = this.#models.get(engine) ?? (await engine.createModel(layout, preprocessing, labelSmoothing));
    this.#models.set(engine, model);
    return model;
  }

  /** Disposes of the models of all other engines. */
  keepOnly(fingerprint: string): void {
    const kept = this.#engineWith(fingerprint);
    for (const [engine, model] of this.#models) {
      if (engine === kept) continue;
      model.dispose();
      this.#models.delete(engine);
    }
  }

  dispose(): void {
    for (const model of this.#models.values()) model.dispose();
    this.#models.clear();
  }

  #engineWith(fingerprint: string): Engine | undefined {
    return this.#probed.get(fingerprint) ?? this.#engines.find(({ identity }) => identity.fingerprint === fingerprint);
  }
}
